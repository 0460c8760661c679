//! The command line as a user sees it: output, exit codes, one clear line for what is wrong.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const NOW: &str = "2026-01-05T10:02:33Z";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn lockkeeper(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockkeeper"));
    command
        .args(args)
        .current_dir(root())
        .env_remove("KUBECONFIG")
        .env("HOME", "/nonexistent")
        .env_remove("KUBERNETES_SERVICE_HOST");
    command
}

fn with_stdin(args: &[&str], stdin: &str) -> Output {
    let mut child = command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Exit code 2, nothing on standard output, one line that holds this.
fn wrong(output: &Output, said: &str) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.starts_with("lockkeeper: ") && text.contains(said), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

fn review(file: &str, more: &[&str]) -> Output {
    lockkeeper(&[&["review", file, "--state", "examples/state", "--at", NOW], more].concat())
}

#[test]
fn a_refusal_in_json_has_every_member_in_its_place() {
    let output = review("examples/reviews/exponential-backoff.json", &["-o", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let check = |name: &str| format!(r#"{{"check":"{name}","outcome":"pass","mode":"enforce"}}"#);
    let passed = [
        "Malformed",
        "ParentState",
        "PublishedBlock",
        "ConsecutiveFailures",
        "DuplicateInProgress",
        "ResourceBusy",
        "PreviousExecutionFailed",
        "ExhaustedRetries",
        "RecentlyRemediated",
    ]
    .map(check)
    .join(",");
    let message = "ExponentialBackoff: 2 failures before anything ran; until 2026-01-05T10:04:00Z (1m27s); held by WorkflowExecution \
                   payments/we-api-7; see: lockkeeper explain payments/rr-api-8 --target payments/Deployment/api";
    let expected = format!(
        r#"{{"file":"examples/reviews/exponential-backoff.json","object":"payments/we-exponential-backoff","allowed":false,"reason":"ExponentialBackoff","code":403,"until":"2026-01-05T10:04:00Z","retryAfterSeconds":87,"blockedBy":{{"kind":"WorkflowExecution","namespace":"payments","name":"we-api-7"}},"message":"{message}","warnings":[],"checks":[{passed},{{"check":"ExponentialBackoff","outcome":"hit","mode":"enforce","until":"2026-01-05T10:04:00Z"}},{{"check":"ExecutorCooldown","outcome":"off","mode":"off"}}]}}
"#
    );
    assert_eq!(stdout(&output), expected);
    assert_eq!(stderr(&output), "");
}

#[test]
fn what_does_not_apply_is_null() {
    let line: Value = serde_json::from_str(&stdout(&review("examples/reviews/allowed.json", &["-o", "json"]))).unwrap();
    for member in ["reason", "until", "retryAfterSeconds", "blockedBy"] {
        assert!(line.as_object().unwrap().contains_key(member) && line[member].is_null(), "{member}");
    }
    assert_eq!((line["allowed"].as_bool(), line["code"].as_u64()), (Some(true), Some(200)));
}

#[test]
fn each_example_gets_the_answer_in_its_name() {
    let mut files: Vec<_> =
        std::fs::read_dir(root().join("examples/reviews")).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "json"));
    let refused_as = [
        ("published-block-until", "UnmanagedResource"),
        ("published-block", "IneffectiveChain"),
        ("exponential-backoff-published", "ExponentialBackoff"),
        ("malformed-parameter", "Malformed"),
        ("update-spec", "SpecImmutable"),
    ];
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let output = review(file.to_str().unwrap(), &["-o", "json"]);
        let line: Value = serde_json::from_str(&stdout(&output)).unwrap();
        let free =
            name.starts_with("allowed") || ["delete", "update-status", "update-finalizer"].contains(&name.as_str());
        let camel: String = name.split('-').map(|part| part[..1].to_uppercase() + &part[1..]).collect();
        let reason =
            refused_as.iter().find(|(file, _)| *file == name).map_or(camel, |(_, reason)| (*reason).to_owned());
        assert_eq!(line["reason"].as_str(), (!free).then_some(reason.as_str()), "{name}");
        assert_eq!(output.status.code(), Some(i32::from(!free)), "{name}");
    }
}

#[test]
fn text_is_aligned_and_without_colour_in_a_pipe() {
    let output = lockkeeper(&[
        "review",
        "examples/reviews/allowed.json",
        "examples/reviews/published-block.json",
        "--state",
        "examples/state",
        "--at",
        NOW,
    ]);
    let text = stdout(&output);
    let columns: Vec<_> = text.lines().map(|line| line.find("payments/").unwrap()).collect();
    assert_eq!((columns.len(), columns[0]), (2, columns[1]), "{text}");
    assert!(
        text.lines().next().unwrap().ends_with("  allowed") && text.contains("refused  IneffectiveChain: "),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn warnings_go_to_standard_error() {
    let output = review("examples/reviews/allowed-with-warning.json", &[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stderr(&output).contains(
        "Warning: examples/reviews/allowed-with-warning.json: payments/we-allowed-with-warning: parameter keys"
    ));
}

#[test]
fn standard_input_many_documents_and_lists() {
    let candidate = |name: &str| {
        format!(
            "apiVersion: kubernaut.ai/v1alpha1\nkind: WorkflowExecution\nmetadata: {{name: {name}, namespace: payments}}\nspec: {{remediationRequestRef: {{name: rr-billing}}, targetResource: payments/Deployment/billing, workflowRef: {{workflowId: a, version: '1', containerImage: c}}}}\n"
        )
    };
    let args = ["review", "-", "--state", "examples/state", "--at", NOW, "-o", "json"];
    let objects = |text: &str| -> Vec<String> {
        let output = with_stdin(&args, text);
        stdout(&output)
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["object"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(objects(&format!("{}---\n{}", candidate("a"), candidate("b"))), ["payments/a", "payments/b"]);
    let list = r#"{"kind":"List","apiVersion":"v1","items":[{"kind":"WorkflowExecution","metadata":{"name":"x"}},{"kind":"WorkflowExecution","metadata":{"name":"y","namespace":"n"}}]}"#;
    assert_eq!(objects(list), ["default/x", "n/y"]);
}

#[test]
fn malformed_is_an_answer_and_what_is_no_candidate_is_not() {
    let args = ["review", "-", "--state", "examples/state"];
    let malformed = with_stdin(&args, "kind: WorkflowExecution\nmetadata: {name: x}\nspec: {parameters: {A: 1}}\n");
    assert_eq!(malformed.status.code(), Some(1));
    assert!(
        stdout(&malformed).contains("Malformed: spec.parameters.A: expected a string, found integer"),
        "{}",
        stdout(&malformed)
    );
    wrong(
        &with_stdin(&args, "kind: Pod\nmetadata: {name: x}\n"),
        "standard input: kind is Pod; expected a WorkflowExecution or an AdmissionReview",
    );
    wrong(&with_stdin(&args, "metadata: {name: x}\n"), "standard input: kind is missing");
    wrong(&with_stdin(&args, ""), "standard input: no object in it");
    wrong(&with_stdin(&args, "kind: [\n"), "standard input: not YAML: line 1, column 7: unclosed bracket '['");
    wrong(&with_stdin(&args, "{\"kind\": NaN}"), "standard input: not JSON: expected value at line 1 column 10");
    wrong(&with_stdin(&args, "kind: WorkflowExecution\nkind: Pod\n"), "standard input: not YAML: line 2");
    wrong(
        &with_stdin(&args, r#"{"kind":"WorkflowExecution","spec":{"targetResource":"a/b","targetResource":"c/d"}}"#),
        "duplicate field",
    );
    wrong(&with_stdin(&args, "kind: A\n---\n- 1\n"), "standard input: document 2: expected a Kubernetes object");
    wrong(
        &with_stdin(&args, r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}"#),
        "standard input: request is missing",
    );
    wrong(
        &lockkeeper(&["review", "no-such.yaml", "--state", "examples/state"]),
        "no-such.yaml: cannot be read: No such file",
    );
}

#[test]
fn one_bad_file_does_not_lose_the_answers_of_the_others() {
    let output = lockkeeper(&[
        "review",
        "examples/reviews/allowed.json",
        "no-such.yaml",
        "examples/reviews/delete.json",
        "--state",
        "examples/state",
    ]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stdout(&output).lines().count(), 2);
    assert!(stderr(&output).contains("no-such.yaml: cannot be read"));
}

#[test]
fn a_wrong_call_names_what_is_wrong() {
    wrong(
        &lockkeeper(&["review", "x", "--at", "noon", "--state", "examples/state"]),
        "expected an RFC 3339 time such as 2026-01-05T10:04:00Z",
    );
    wrong(&lockkeeper(&["review", "x", "--state", "no-such-folder"]), "no-such-folder: cannot be read");
    wrong(
        &lockkeeper(&["review", "x", "--config", "no-such.yaml", "--state", "examples/state"]),
        "no-such.yaml: cannot be read",
    );
    wrong(&lockkeeper(&["explain", "payments", "--state", "examples/state"]), "expected namespace/name");
    wrong(
        &lockkeeper(&["explain", "payments/nobody", "--state", "examples/state"]),
        "payments/nobody: no WorkflowExecution and no RemediationRequest",
    );
    wrong(
        &lockkeeper(&["explain", "--target", "payments", "--state", "examples/state"]),
        "--target: expected ns/kind/name or kind/name",
    );
    wrong(&lockkeeper(&["explain", "--cluster", "x", "--state", "examples/state"]), "--target");
    wrong(&lockkeeper(&["explain", "payments/rr-api-8"]), "no cluster found by KUBECONFIG");
    wrong(&lockkeeper(&["migrate"]), "no cluster found by KUBECONFIG");
    wrong(&lockkeeper(&["certs", "--dir", "/dev/null/x", "--host", "a"]), "/dev/null/x: cannot be written");
    wrong(&lockkeeper(&["certs", "--dir", "x", "--host", "a b"]), "\"a b\" is neither a DNS name nor an IP address");
    wrong(&lockkeeper(&["serve", "--tls-mode", "self"]), "invalid value 'self'");
    wrong(&lockkeeper(&["serve", "--state", "examples/state", "--tls-cert", "x"]), "--tls-key");
    wrong(
        &lockkeeper(&["serve", "--tls-mode", "files", "--state", "examples/state"]),
        "--tls-mode files needs --tls-cert and --tls-key",
    );
}

#[test]
fn what_is_not_built_is_absent() {
    wrong(&lockkeeper(&["conformance"]), "unrecognized subcommand 'conformance'");
    let help = stdout(&lockkeeper(&["serve", "--help"]));
    assert!(!help.contains("self") || !help.contains("- self"), "{help}");
}

#[test]
fn explain_says_how_to_clear_what_only_a_person_can() {
    let args = ["explain", "--target", "payments/StatefulSet/db", "--state", "examples/state", "--at", NOW];
    let text = stdout(&lockkeeper(&args));
    assert!(text.contains("kubectl patch wfe we-db-1 -n payments --subresource=status"), "{text}");
    let args = ["explain", "--target", "payments/Deployment/api", "--state", "examples/state", "--at", NOW];
    assert!(!stdout(&lockkeeper(&args)).contains("kubectl patch"));
}

#[test]
fn explain_takes_an_execution_a_request_or_a_target() {
    let explain = |args: &[&str]| {
        let output = lockkeeper(&[&["explain", "--state", "examples/state", "--at", NOW], args].concat());
        (output.status.code(), stdout(&output))
    };
    let (code, text) = explain(&["payments/rr-api-8"]);
    assert_eq!(code, Some(1));
    assert!(
        text.starts_with(
            "RemediationRequest payments/rr-api-8, uid 00000000-0000-4000-8000-2fd25a3bbb3e, target payments/Deployment/api\nheld: ExponentialBackoff: 2 failures"
        ),
        "{text}"
    );
    let (code, text) = explain(&["payments/we-checkout-1"]);
    assert_eq!((code, text.lines().nth(1)), (Some(0), Some("nothing holds it")), "{text}");
    let (code, text) = explain(&["--target", "payments/statefulset/db"]);
    assert_eq!(code, Some(1));
    assert!(
        text.contains("held: PreviousExecutionFailed") && text.contains("ParentState              skipped"),
        "{text}"
    );
    // The command that a refusal shows works also where the parent is missing.
    let (code, text) = explain(&["payments/rr-nobody", "--target", "payments/Deployment/billing"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("held: ParentMissing"), "{text}");
    let (_, json) = explain(&["payments/rr-billing", "-o", "json"]);
    assert!(json.starts_with(r#"{"object":"payments/rr-billing","allowed":true,"reason":null,"code":200,"#), "{json}");
}

#[test]
fn explain_says_where_an_execution_that_nothing_holds_says_what_it_waits_for() {
    let folder = tempfile::tempdir().unwrap();
    let object = |phase: &str| {
        let request = "apiVersion: kubernaut.ai/v1beta1\nkind: RemediationRequest\nmetadata: {namespace: payments, name: rr, uid: u}\nspec: {signalFingerprint: s}";
        let spec = "remediationRequestRef: {name: rr}, target: {kind: Node, name: w}, workflowRef: {workflowId: x}";
        format!(
            "{request}\n---\napiVersion: kubernaut.ai/v1beta1\nkind: WorkflowExecution\nmetadata: {{namespace: payments, name: we}}\nspec: {{{spec}}}\nstatus: {{phase: {phase}}}\n"
        )
    };
    for (phase, waits) in [("Pending", true), ("Running", false)] {
        std::fs::write(folder.path().join("x.yaml"), object(phase)).unwrap();
        let output = lockkeeper(&["explain", "payments/we", "--state", folder.path().to_str().unwrap()]);
        let text = stdout(&output);
        assert_eq!((output.status.code(), text.contains("nothing holds it")), (Some(0), true), "{text}");
        assert_eq!(text.contains("\n  kubectl describe wfe we -n payments\n"), waits, "{text}");
    }
}

#[test]
fn a_configuration_changes_the_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, "checks: {exponentialBackoff: {mode: warn}}\n").unwrap();
    let output = review("examples/reviews/exponential-backoff.json", &["--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        stderr(&output).contains("ExponentialBackoff: 2 failures before anything ran")
            && stderr(&output).contains("(not enforced)")
    );
    let off = command(&[
        "review",
        "examples/reviews/exponential-backoff.json",
        "--state",
        "examples/state",
        "--at",
        NOW,
        "-o",
        "json",
    ])
    .env("LOCKKEEPER__CHECKS__EXPONENTIALBACKOFF__MODE", "off")
    .output()
    .unwrap();
    let line: Value = serde_json::from_str(&stdout(&off)).unwrap();
    assert_eq!((&line["allowed"], &line["checks"][9]["outcome"]), (&Value::Bool(true), &Value::from("off")));
}

#[test]
fn a_folder_of_ten_thousand_is_reviewed() {
    let folder = tempfile::tempdir().unwrap();
    let template = std::fs::read_to_string(root().join("examples/state/api.yaml")).unwrap();
    for number in 0..10_000 {
        let text = template.replace("payments", &format!("ns-{number}"));
        std::fs::write(folder.path().join(format!("{number}.yaml")), text).unwrap();
    }
    let started = std::time::Instant::now();
    let output =
        lockkeeper(&["review", "examples/reviews/parent-missing.json", "--state", folder.path().to_str().unwrap()]);
    println!("a folder of 10 000 manifests, 30 000 objects: {:?}", started.elapsed());
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
}

#[test]
fn certs_are_made_once_and_replaced_only_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["certs", "--dir", folder.path().to_str().unwrap(), "--host", "localhost", "--host", "127.0.0.1"];
    let made = lockkeeper(&args);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    assert_eq!(stdout(&made).lines().count(), 3);
    wrong(&lockkeeper(&args), "is there already; say --force to replace it");
    assert_eq!(lockkeeper(&[&args[..], &["--force"]].concat()).status.code(), Some(0));
}

#[test]
fn crds_serve_both_versions_where_somebody_converts() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    assert!(lockkeeper(&["certs", "--dir", &at("pair"), "--host", "localhost"]).status.success());
    let (ca, empty) = (at("pair/ca.crt"), at("empty"));
    std::fs::write(&empty, "").unwrap();
    let alone = stdout(&lockkeeper(&["crds"]));
    assert!(!alone.contains("v1beta1") && !alone.contains("conversion:"));
    let service = stdout(&lockkeeper(&["crds", "--conversion-service", "ns/converter:8443", "--ca", &ca]));
    for said in [
        "name: v1beta1",
        "strategy: Webhook",
        "name: converter",
        "namespace: ns",
        "path: /convert",
        "port: 8443",
        "caBundle: ",
    ] {
        assert_eq!(service.matches(said).count(), 2, "{said}");
    }
    for (given, called) in [
        ("https://localhost:8443/convert", "https://localhost:8443/convert"),
        ("https://localhost:8443", "https://localhost:8443/convert"),
        ("https://10.0.0.7/", "https://10.0.0.7/convert"),
        ("https://[fd00::7]:9443", "https://[fd00::7]:9443/convert"),
        ("https://proxy.example/lockkeeper", "https://proxy.example/lockkeeper/convert"),
        ("https://proxy.example/lockkeeper/convert/", "https://proxy.example/lockkeeper/convert"),
    ] {
        let url = stdout(&lockkeeper(&["crds", "--conversion-url", given]));
        assert_eq!(url.matches(&format!("url: {called}\n")).count(), 2, "{given}: {url}");
        assert!(!url.contains("caBundle"));
    }
    for (url, said) in [
        ("http://x", "expected https://"),
        ("", "expected https://"),
        ("https://", "no host"),
        ("https:///convert", "no host"),
        ("https://:8443", "no host"),
        ("https://x:0", "a port is 1 to 65535"),
        ("https://x:", "a port is 1 to 65535"),
        ("https://x:99999/convert", "a port is 1 to 65535"),
        ("https://x:+443", "a port is 1 to 65535"),
        ("https://fd00::7", "an IPv6 address goes in brackets"),
        ("https://[fd00::7", "is neither a name nor an IP address"),
        ("https://[fd00::7]x", "is neither a name nor an IP address"),
        ("https://300.1.2.3", "is neither a name nor an IP address"),
        ("https://no_name.example", "is neither a name nor an IP address"),
        ("https://-x", "is neither a name nor an IP address"),
        ("https://x y", "is neither a name nor an IP address"),
        ("https://me:secret@x", "the API server takes no user in it"),
        ("https://x/?dry=run", "the API server takes no query in it"),
        ("https://x#there", "the API server takes no fragment in it"),
        ("https://x/a b", "a path has letters, digits and /-._~"),
    ] {
        wrong(&lockkeeper(&["crds", "--conversion-url", url]), said);
    }
    let long = format!("{}/b", "a".repeat(64));
    for (args, said) in [
        (vec!["--conversion-service", "A/b"], "\"A\" is no name of a namespace"),
        (vec!["--conversion-service", "a.b/c"], "\"a.b\" is no name of a namespace"),
        (vec!["--conversion-service", &long], "is no name of a namespace"),
        (vec!["--conversion-service", "a/b_c:443"], "\"b_c\" is no name of a Service"),
        (vec!["--conversion-service", "a/-b"], "\"-b\" is no name of a Service"),
        (vec!["--conversion-service", "a/b-"], "\"b-\" is no name of a Service"),
        (vec!["--conversion-service", "/b"], "expected NAMESPACE/NAME"),
        (vec!["--conversion-service", "a/b:"], "a port is 1 to 65535"),
        (vec!["--conversion-service", "a/b:+8"], "a port is 1 to 65535"),
        (vec!["--conversion-service", "a/b:65536"], "a port is 1 to 65535"),
        (vec!["--conversion-service", "converter"], "expected NAMESPACE/NAME or NAMESPACE/NAME:PORT"),
        (vec!["--conversion-service", "a/b/c"], "expected NAMESPACE/NAME"),
        (vec!["--conversion-service", "a/b:0"], "expected NAMESPACE/NAME"),
        (vec!["--ca", &ca], "--ca needs --conversion-service or --conversion-url"),
        (vec!["--conversion-service", "a/b", "--ca", &empty], "no certificate in it"),
        (vec!["--conversion-service", "a/b", "--ca", "/nonexistent"], "cannot be read"),
        (vec!["--conversion-service", "a/b", "--conversion-url", "https://x"], "cannot be used with"),
    ] {
        wrong(&lockkeeper(&[&["crds"], &args[..]].concat()), said);
    }
}

#[test]
fn crds_completion_and_help_are_for_pipes() {
    assert!(stdout(&lockkeeper(&["crds"])).starts_with("---\napiVersion: apiextensions.k8s.io/v1\n"));
    assert!(stdout(&lockkeeper(&["completion", "bash"])).contains("_lockkeeper"));
    assert_eq!(lockkeeper(&["--version"]).status.code(), Some(0));
    for command in ["serve", "review", "explain", "crds", "certs", "completion"] {
        let help = lockkeeper(&[command, "--help"]);
        assert!(help.status.success() && stdout(&help).contains("Examples:"), "{command}");
    }
    // A reader that goes away is no error.
    let mut child = command(&["crds"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// A served folder, ended with the test.
struct Server {
    child: std::process::Child,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(state: &Path, config: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let certs = folder.path().join("certs");
        let child =
            command(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json"])
                .args([
                    "--state".as_ref(),
                    state.as_os_str(),
                    "--config".as_ref(),
                    config.as_os_str(),
                    "--tls-dir".as_ref(),
                    certs.as_os_str(),
                ])
                .stderr(std::fs::File::create(&log).unwrap())
                .spawn()
                .unwrap();
        let server = Self { child, log, _folder: folder };
        server.says("\"serving\"");
        server
    }

    /// Waits until the log holds this.
    fn says(&self, text: &str) {
        let started = std::time::Instant::now();
        loop {
            let log = std::fs::read_to_string(&self.log).unwrap();
            if log.contains(text) {
                return;
            }
            assert!(started.elapsed().as_secs() < 20, "{text:?} is not in the log:\n{log}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    fn readyz(&self) -> String {
        use std::io::Read;
        let log = std::fs::read_to_string(&self.log).unwrap();
        let admin = log.split("\"admin\":\"").nth(1).unwrap().split('"').next().unwrap();
        let mut stream = std::net::TcpStream::connect(admin).unwrap();
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    fn counts(&self, text: &str) {
        let started = std::time::Instant::now();
        while !self.readyz().contains(text) {
            assert!(started.elapsed().as_secs() < 20, "{text:?} is not in:\n{}", self.readyz());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

#[test]
fn a_served_folder_and_its_configuration_are_followed_and_the_last_good_stands() {
    let folder = tempfile::tempdir().unwrap();
    let (state, config) = (folder.path().join("state"), folder.path().join("config.yaml"));
    std::fs::create_dir(&state).unwrap();
    let request =
        |name: &str| format!("kind: RemediationRequest\nmetadata: {{name: {name}, namespace: payments}}\nspec: {{}}\n");
    std::fs::write(state.join("a.yaml"), request("a")).unwrap();
    std::fs::write(&config, "").unwrap();
    let server = Server::start(&state, &config);
    server.counts("remediationrequests: 1 objects");
    std::fs::write(state.join("b.yaml"), request("b")).unwrap();
    server.counts("remediationrequests: 2 objects");
    std::fs::write(state.join("b.yaml"), "kind: [").unwrap();
    server.says("keeping what this file said last");
    server.counts("remediationrequests: 2 objects");
    std::fs::remove_file(state.join("a.yaml")).unwrap();
    server.counts("remediationrequests: 1 objects");

    std::fs::write(&config, "checks: {nope: {}}\n").unwrap();
    server.says("the changed configuration is not taken; the last good one stands");
    server.says("checks.nope: unknown field");
    std::fs::write(&config, "staleness: {max: 60s}\n").unwrap();
    server.says("configuration read anew");
}

#[test]
fn serve_refuses_what_it_cannot_serve() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("odd.yaml"), "kind: [").unwrap();
    let odd = folder.path().to_str().unwrap();
    let certs = folder.path().join("certs");
    let serve = [
        "serve",
        "--log-format",
        "json",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--tls-dir",
        certs.to_str().unwrap(),
    ];
    let last = |output: &Output| stderr(output).lines().last().unwrap_or_default().to_owned();
    let output = lockkeeper(&[&serve[..], &["--state", odd]].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(last(&output).contains("odd.yaml: not YAML: line "), "{}", last(&output));
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap().to_string();
    let output =
        lockkeeper(&["serve", "--state", "examples/state", "--tls-dir", certs.to_str().unwrap(), "--listen", &address]);
    assert_eq!(output.status.code(), Some(2));
    assert!(last(&output).contains(&format!("cannot listen on {address} (--listen)")), "{}", last(&output));
    for (name, line) in [("loops.executor", "executor: true"), ("loops.routingKeeper", "routingKeeper: true")] {
        let config = folder.path().join("config.txt");
        std::fs::write(&config, format!("loops: {{{line}}}\n")).unwrap();
        let config = ["--state", "examples/state", "--config", config.to_str().unwrap()];
        let output = lockkeeper(&[&serve[..], &config].concat());
        assert_eq!(output.status.code(), Some(2));
        assert!(last(&output).contains(&format!("{name}: a folder of manifests")), "{}", last(&output));
    }
}

/// A failed run of one task, as kubectl prints it.
const FAILED: &str = r#"{"apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
  "metadata": {"name": "r", "namespace": "n", "annotations": {"kubernaut.ai/target-resource": "payments/Deployment/api"}},
  "status": {"childReferences": [{"kind": "TaskRun", "name": "r-t", "pipelineTaskName": "t"}],
    "startTime": "2026-01-05T10:00:00Z", "completionTime": "2026-01-05T10:05:00Z",
    "conditions": [{"type": "Succeeded", "status": "False", "reason": "Failed",
      "message": "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 0"}]}}"#;

const TASK: &str = r#"{"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": {"name": "r-t", "namespace": "n"},
  "status": {"podName": "r-t-pod", "conditions": [{"type": "Succeeded", "status": "False", "reason": "StepOOM",
    "message": "\"step-compile\" exited with code 137: OOMKilled"}],
    "steps": [{"name": "compile", "imageID": "i", "terminated": {"reason": "OOMKilled", "exitCode": 137}}]}}"#;

const WENT_WELL: &str = r#"{"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": {"name": "w", "namespace": "n"},
  "status": {"conditions": [{"type": "Succeeded", "status": "True", "reason": "Completed", "message": "done"}]}}"#;

fn classify(objects: &[&str], more: &[&str]) -> Output {
    with_stdin(&[&["classify", "-"], more].concat(), &objects.join("\n"))
}

#[test]
fn a_classification_in_json_has_every_member_in_its_place() {
    let output = classify(&[FAILED, TASK], &["-o", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let line = stdout(&output);
    let (told, summary) = line.split_once(r#","summary":"#).unwrap();
    let expected = [
        r#"{"pipelineRun":"n/r","failed":true,"reason":"OOMKilled","wasExecutionFailure":true,"failedTaskIndex":0,"#,
        r#""failedTaskName":"r-t","failedStepName":"compile","exitCode":137,"#,
        r#""message":"\"step-compile\" exited with code 137: OOMKilled","#,
        r#""evidence":[{"from":"TaskRun n/r-t step compile","says":"terminated OOMKilled, exit 137","weight":"kubelet"},"#,
        r#"{"from":"TaskRun n/r-t step compile","says":"started (terminated OOMKilled, exit 137)","weight":"kubelet"}]"#,
    ];
    assert_eq!(told, expected.concat());
    assert!(
        summary.starts_with(r#""The workflow on payments/Deployment/api failed in task r-t, step compile: "#),
        "{summary}"
    );
    assert!(summary.ends_with("\"}\n") && line.lines().count() == 1);
}

#[test]
fn a_run_that_did_not_fail_is_told_in_nulls() {
    let nulls = [
        r#"{"pipelineRun":"n/w","failed":false,"reason":null,"wasExecutionFailure":null,"failedTaskIndex":null,"#,
        r#""failedTaskName":null,"failedStepName":null,"exitCode":null,"message":null,"evidence":null,"summary":null}"#,
    ];
    let output = classify(&[WENT_WELL], &["-o", "json"]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(0), nulls.concat() + "\n"));
}

#[test]
fn tired_eyes_find_what_failed_whether_it_ran_and_what_to_do() {
    let expected = "\
PipelineRun n/r  OOMKilled  on payments/Deployment/api
  failed  it ran out of memory and was killed
  ran     YES: look at the target before anything runs on it again
  where   task r-t, step compile, exit code 137
  why     TaskRun n/r-t step compile: terminated OOMKilled, exit 137 [kubelet]
          TaskRun n/r-t step compile: started (terminated OOMKilled, exit 137) [kubelet]
  said    \"step-compile\" exited with code 137: OOMKilled
  do      raise the memory limit of the step, or let it do less at once.

PipelineRun n/w  succeeded
";
    assert_eq!(stdout(&classify(&[FAILED, TASK, WENT_WELL], &[])), expected);
    // Without its task nobody knows.
    let alone = stdout(&classify(&[FAILED], &[]));
    assert!(alone.contains("  ran     MAYBE: look at the target"), "{alone}");
    let early =
        FAILED.replace(r#""childReferences": [{"kind": "TaskRun", "name": "r-t", "pipelineTaskName": "t"}],"#, "");
    let early = early
        .replace(r#""Failed""#, r#""Cancelled""#)
        .replace("Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 0", "");
    assert!(stdout(&classify(&[&early], &[])).contains("  ran     no: the target is as it was"));
    let on = WENT_WELL.replace(r#""True""#, r#""Unknown""#);
    assert_eq!(stdout(&classify(&[&on], &[])), "PipelineRun n/w  has not ended\n");
}

#[test]
fn tasks_find_their_run_across_files_by_reference_label_or_owner() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let unreferred =
        FAILED.replace(r#""childReferences": [{"kind": "TaskRun", "name": "r-t", "pipelineTaskName": "t"}],"#, "");
    let told = |member: &str| TASK.replace(r#""name": "r-t","#, &format!(r#""name": "r-t", {member},"#));
    let labelled = told(r#""labels": {"tekton.dev/pipelineRun": "r"}"#);
    let owned = told(r#""ownerReferences": [{"kind": "PipelineRun", "name": "r"}]"#);
    let list = |item: &str| format!(r#"{{"apiVersion": "v1", "kind": "List", "items": [{item}]}}"#);
    for (run, task) in [(FAILED, TASK), (&unreferred, &*labelled), (&unreferred, &*owned), (FAILED, &list(TASK))] {
        let (run, task) = (file("run.json", run), file("task.yaml", task));
        for order in [[&run, &task], [&task, &run]] {
            let output = lockkeeper(&["classify", order[0], order[1], "-o", "json"]);
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
            let line: Value = serde_json::from_str(&stdout(&output)).unwrap();
            assert_eq!((&line["reason"], &line["failedTaskName"]), (&"OOMKilled".into(), &"r-t".into()));
        }
    }
    // Of another namespace it is another run's.
    let foreign = labelled.replace(r#""namespace": "n""#, r#""namespace": "m""#);
    let line: Value = serde_json::from_str(&stdout(&classify(&[FAILED, &foreign], &["-o", "json"]))).unwrap();
    assert_eq!(line["failedTaskName"], Value::Null);
}

#[test]
fn a_job_and_a_refused_creation_are_classified_too() {
    let job = r#"{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "n"},
      "status": {"failed": 1, "conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}}"#;
    let pod = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "j-1", "namespace": "n", "labels": {"job-name": "j"}},
      "status": {"phase": "Failed", "containerStatuses": [{"name": "main", "imageID": "i",
        "state": {"terminated": {"reason": "Error", "exitCode": 3}}}]}}"#;
    let refusal = r#"{"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden",
      "message": "pipelineruns.tekton.dev \"r\" is forbidden: exceeded quota: q"}"#;
    let custom = r#"{"apiVersion": "tekton.dev/v1beta1", "kind": "CustomRun", "metadata": {"name": "c"}}"#;
    let output = classify(&[job, pod, refusal, custom], &["-o", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (&lines[0]["job"], &lines[0]["reason"], &lines[0]["exitCode"]),
        (&"n/j".into(), &"TaskFailed".into(), &3.into())
    );
    assert_eq!((&lines[1]["refusal"], &lines[1]["reason"]), (&"Forbidden".into(), &"ResourceExhausted".into()));
    let text = stdout(&classify(&[job, pod, refusal], &[]));
    assert!(
        text.starts_with("Job n/j  TaskFailed\n") && text.contains("\nRefused creation Forbidden  Resource"),
        "{text}"
    );
}

#[test]
fn a_creation_is_named_by_what_its_answer_gives() {
    let told = |members: &str| {
        let status = format!(r#"{{"apiVersion": "v1", "kind": "Status", "status": "Failure"{members}}}"#);
        stdout(&classify(&[&status], &[]))
    };
    let nothing = told(r#", "code": null, "reason": null, "message": null"#);
    assert!(nothing.starts_with("Failed creation (no reason given)  Unknown\n"), "{nothing}");
    assert!(nothing.contains("API server: answered nothing [run]"), "{nothing}");
    assert!(told(r#", "code": 504"#).starts_with("Failed creation 504  Unknown\n"));
    assert!(told(r#", "code": 422"#).starts_with("Refused creation 422  ConfigurationError\n"));
}

#[test]
fn a_task_that_is_told_twice_is_believed_where_it_says_more() {
    let stale = TASK.replace("\"False\"", "\"Unknown\"");
    for copies in [[TASK, &stale], [&stale, TASK]] {
        let text = stdout(&classify(&[FAILED, copies[0], copies[1]], &[]));
        assert!(text.contains("  ran     YES: "), "{text}");
    }
}

#[test]
fn what_cannot_be_classified_is_named_and_the_rest_is_told() {
    let lone = "no PipelineRun, Job or Status in it; a TaskRun or a Pod alone is evidence, not a run";
    wrong(&classify(&[TASK], &[]), lone);
    wrong(&lockkeeper(&["classify", "nowhere.yaml"]), "nowhere.yaml: cannot be read");
    wrong(&classify(&[""], &[]), "no object in it");
    let one = |object: &str, said: &str| {
        let output = classify(&[FAILED, object], &["-o", "json"]);
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(stdout(&output).lines().count(), 1, "the other run is told");
        assert!(stderr(&output).contains(said) && stderr(&output).lines().count() == 1, "{}", stderr(&output));
    };
    one(
        r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}}"#,
        "document 2: kind is Service; expected",
    );
    one(
        r#"{"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": {}}"#,
        "document 2: metadata.name is missing",
    );
    one(r#"{"apiVersion": "v1", "kind": "Status", "status": "Success"}"#, "this Status refuses nothing");
    for code in ["\"403\"", "-1", "99999"] {
        let status = format!(r#"{{"apiVersion": "v1", "kind": "Status", "code": {code}}}"#);
        one(&status, "document 2: code: expected u16, found ");
    }
    let both = lockkeeper(&["classify", "nowhere.yaml", "neither.yaml"]);
    assert_eq!((both.status.code(), stderr(&both).lines().count()), (Some(2), 2));
}
