//! A creation that was refused, or of which that is not known.

use super::*;

#[test]
fn a_refused_creation_is_judged_by_the_servers_words_then_by_its_code() {
    use Reason::*;
    let rows = [
        (
            403,
            "Forbidden",
            r#"pipelineruns.tekton.dev "r" is forbidden: exceeded quota: q, requested: count/pipelineruns.tekton.dev=1"#,
            ResourceExhausted,
        ),
        (
            403,
            "Forbidden",
            r#"pipelineruns.tekton.dev is forbidden: User "u" cannot create resource "pipelineruns" in API group "tekton.dev" in the namespace "quota""#,
            Forbidden,
        ),
        (
            403,
            "Forbidden",
            r#"pods "p" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true"#,
            Forbidden,
        ),
        (
            403,
            "Forbidden",
            r#"pods "p" is forbidden: maximum cpu usage per Container is 1, but limit is 2"#,
            ConfigurationError,
        ),
        (403, "Forbidden", "exceeded quota: q", ResourceExhausted),
        (403, "Forbidden", "", Forbidden),
        (401, "Unauthorized", "Unauthorized", Forbidden),
        (0, "Forbidden", "no", Forbidden),
        (
            400,
            "BadRequest",
            r#"admission webhook "validation.webhook.pipeline.tekton.dev" denied the request: validation failed: expected exactly one, got neither: spec.pipelineRef"#,
            ConfigurationError,
        ),
        (400, "BadRequest", r#"admission webhook "policy.example.com" denied the request: no"#, Forbidden),
        (
            422,
            "Invalid",
            r#"PipelineRun.tekton.dev "r" is invalid: spec.timeout: Invalid value: "is forbidden: exceeded quota: x": bad"#,
            ConfigurationError,
        ),
        (422, "Invalid", "", ConfigurationError),
        (404, "NotFound", r#"namespaces "n" not found"#, ConfigurationError),
        (404, "NotFound", "the server could not find the requested resource", ConfigurationError),
        (0, "NotFound", "", ConfigurationError),
        (413, "RequestEntityTooLarge", "limit is 3145728", ConfigurationError),
        (
            409,
            "Conflict",
            r#"Operation cannot be fulfilled on resourcequotas "q": the object has been modified"#,
            Unknown,
        ),
        (429, "TooManyRequests", "too many requests", Unknown),
        (0, "TooManyRequests", "", Unknown),
        (
            500,
            "InternalError",
            r#"Internal error occurred: failed calling webhook "v": failed to call webhook: Post "https://x": dial tcp 1.1.1.1:443: connect: connection refused"#,
            Unknown,
        ),
        (503, "ServiceUnavailable", "the server is currently unable to handle the request", Unknown),
        (507, "InsufficientStorage", "no room", ResourceExhausted),
    ];
    for (code, reason, message, expected) in rows {
        let found = of_refusal(code, reason, message);
        assert_eq!((found.reason, found.ran), (expected, false), "{code} {reason} {message}");
        assert!(found.evidence[0].says.starts_with("refused the run: "));
    }
}

/// A request that was sent, and no answer to it that says "no".
const UNSETTLED: [(u16, &str, &str); 33] = [
    (500, "InternalError", "etcdserver: request timed out"),
    (500, "InternalError", "etcdserver: leader changed"),
    (
        500,
        "InternalError",
        r#"an error on the server ("<html>502 Bad Gateway") has prevented the request from succeeding"#,
    ),
    (500, "", "rpc error: code = Unavailable desc = transport is closing"),
    (500, "InternalError", "Internal error occurred: unheard of"),
    (503, "", "upstream connect error or disconnect/reset before headers. reset reason: connection termination"),
    (504, "Timeout", "Timeout: request did not complete within requested timeout - context deadline exceeded"),
    (504, "", ""),
    (502, "", "bad gateway"),
    (408, "Timeout", ""),
    (499, "", ""),
    (0, "Timeout", ""),
    (0, "", ""),
    // A run of that name is there.
    (409, "AlreadyExists", r#"pipelineruns.tekton.dev "r" already exists"#),
    (409, "", ""),
    (409, "AlreadyExists", r#"object is being deleted: pipelineruns.tekton.dev "r" already exists"#),
    (0, "", r#"pipelineruns.tekton.dev "r" already exists"#),
    (
        0,
        "",
        "the server was unable to return a response in the time allotted, but may still be processing the request (post pipelineruns.tekton.dev)",
    ),
    (
        0,
        "",
        r#"an error on the server ("<html>502 Bad Gateway: dial tcp: denied the request") has prevented the request from succeeding"#,
    ),
    (
        0,
        "",
        r#"Post "https://10.0.0.1/apis": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"#,
    ),
    (0, "", r#"Post "https://10.0.0.1/apis": net/http: request canceled"#),
    (0, "", r#"Post "https://10.0.0.1/apis": read tcp 10.0.0.1:4242->10.0.0.2:443: read: connection reset by peer"#),
    (0, "", r#"Post "https://10.0.0.1/apis": read tcp 10.0.0.1:4242->10.0.0.2:443: read: connection timed out"#),
    (0, "", r#"Post "https://10.0.0.1/apis": read tcp 10.0.0.1:4242->10.0.0.2:443: i/o timeout"#),
    (0, "", r#"Post "https://10.0.0.1/apis": write tcp 10.0.0.1:4242->10.0.0.2:443: write: broken pipe"#),
    (0, "", r#"Post "https://10.0.0.1/apis": http2: client connection lost"#),
    (0, "", r#"Post "https://10.0.0.1/apis": stream error: stream ID 5; INTERNAL_ERROR; received from peer"#),
    (0, "", r#"Post "https://10.0.0.1/apis": net/http: timeout awaiting response headers"#),
    (0, "", r#"Post "https://10.0.0.1/apis": use of closed network connection"#),
    (0, "", r#"Post "https://10.0.0.1/apis": context canceled"#),
    (0, "", r#"Post "https://10.0.0.1/apis": unexpected EOF"#),
    (0, "", r#"Post "https://10.0.0.1/apis": EOF"#),
    (0, "", "rpc error: code = Unavailable desc = transport is closing"),
];

#[test]
fn what_is_no_known_refusal_may_have_left_a_run() {
    for (code, reason, message) in UNSETTLED {
        let found = of_refusal(code, reason, message);
        assert_eq!((found.reason, found.ran), (Reason::Unknown, true), "{code} {reason} {message}");
        assert_eq!(found.evidence.last().unwrap().weight, Weight::Doubt);
        assert!(!found.evidence[0].says.contains("refused"), "{found:?}");
    }
}

#[test]
fn what_leaves_nothing_is_known_by_its_words_alone() {
    for (code, message) in [
        // It never got there.
        (0, r#"Post "https://10.96.0.1:443/apis": dial tcp 10.96.0.1:443: i/o timeout"#),
        (0, r#"Post "https://10.96.0.1:443/apis": net/http: TLS handshake timeout"#),
        // Admission comes before storage.
        (
            500,
            r#"Internal error occurred: failed calling webhook "v": failed to call webhook: Post "https://x": context deadline exceeded"#,
        ),
        (500, r#"Internal error occurred: failed calling webhook "v": failed to call webhook: Post "https://x": EOF"#),
        (
            0,
            r#"Post "https://10.96.0.1:443/apis": tls: failed to verify certificate: x509: certificate signed by unknown authority"#,
        ),
        (0, r#"Post "https://10.96.0.1:443/apis": dial tcp: lookup kubernetes.default: no such host"#),
        (500, "Internal error occurred: resource quota evaluation timed out"),
        (0, "the server is currently unable to handle the request (post pipelineruns.tekton.dev)"),
        (
            0,
            "the server has received too many requests and has asked us to try again later (post pipelineruns.tekton.dev)",
        ),
        (0, "the server has asked for the client to provide credentials"),
        (0, "the server could not find the requested resource"),
        (0, "the server rejected our request for an unknown reason (post pipelineruns.tekton.dev)"),
        (0, "Unauthorized"),
        (0, r#"namespaces "n" not found"#),
        (0, r#"no matches for kind "PipelineRun" in version "tekton.dev/v1""#),
        (0, r#"PipelineRun.tekton.dev "r" is invalid: spec.timeout: Invalid value"#),
        (0, r#"admission webhook "v" denied the request: the run "x" already exists"#),
        // Names are nobody's words.
        (
            403,
            r#"pipelineruns.tekton.dev "EOF" is forbidden: User "context deadline exceeded" cannot create resource "pipelineruns""#,
        ),
    ] {
        assert!(!of_refusal(code, "", message).ran, "{message}");
    }
}

#[test]
fn an_answer_without_code_or_reason_is_told_without_them() {
    let says = |code, reason, message| of_refusal(code, reason, message).evidence[0].says.clone();
    assert_eq!(says(403, "Forbidden", "no"), "refused the run: 403 Forbidden: no");
    assert_eq!(says(0, "Forbidden", ""), "refused the run: Forbidden");
    assert_eq!(says(0, "", "EOF"), "answered: EOF");
    assert_eq!(says(0, "", ""), "answered nothing");
}
