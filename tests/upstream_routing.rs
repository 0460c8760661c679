//! Rows taken from upstream's routing engine, asked of ours. Where the two differ on purpose the table below names the
//! row and the reason: the rule book (routing) follows upstream's documents, the rows follow its code.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use lockkeeper::api::facts::{Candidate, ObjectKey, ParentRef, RemediationRequest, Target, WorkflowExecution};
use lockkeeper::cluster::{Index, Seen, Tracked};
use lockkeeper::routing::{self, Backoff, Check, Hold, Policy, Request, Verdict};

/// Row, what we answer instead, why.
const DIFFERENT: &[(&str, Option<&str>, &str)] = &[
    ("BUSY-D-case", Some("ResourceBusy"), "two spellings of a kind are one target"),
    ("REC-06", Some("RecentlyRemediated"), "two spellings of a kind are one target"),
    ("CF-D2", None, "a Blocked request never failed (BR-ORCH-042); upstream's documents say so, its code counts it"),
    (
        "CF-D5",
        None,
        "an inherited failure is no attempt (BR-ORCH-042); upstream's documents say so, its code counts it",
    ),
    ("CF-D9", None, "the cooldown runs from the end of the newest failure and was over a month ago"),
    ("ORD-02", None, "no creation on either side, which no API server stores: the name decides, and it is the smaller"),
];

/// Rows about what is not routing, or is not built: asked elsewhere or nowhere.
const ELSEWHERE: [&str; 6] = [
    "unmanaged",
    "ineffective_chain",
    "failure_counter",
    "duplicate_inheritance",
    "execution_resource_name",
    "can_transition",
];

#[test]
fn upstreams_rows_get_upstreams_answers_but_for_the_differences_we_name() {
    let Some(rows) = rows() else { return };
    let (mut asked, mut different, mut faults) = (0, Vec::new(), Vec::new());
    for row in &rows {
        let (id, check) = (text(&row["id"]), text(&row["check"]));
        if ELSEWHERE.contains(&check) || row["scope"].is_string() {
            continue;
        }
        asked += 1;
        let expect = if row["better_expect"].is_object() { &row["better_expect"] } else { &row["expect"] };
        let fault = match check {
            "backoff_formula" => backoff(row, expect),
            "blocked_phase_handler" => published(row, expect),
            "wfe_spec_validation" => candidate(row, expect),
            "wfe_target_resource" => own_target(row, expect),
            "is_terminal_phase" => terminal(row, expect),
            _ => {
                let ours = DIFFERENT.iter().find(|(row, ..)| *row == id);
                different.extend(ours.map(|(row, ..)| *row));
                ["flat", "grouped"].into_iter().find_map(|dialect| routed(row, check, expect, ours, dialect))
            }
        };
        faults.extend(fault.map(|fault| format!("{id} ({}): {fault}", row["note"])));
    }
    assert!(faults.is_empty(), "{} of {asked} rows:\n{}", faults.len(), faults.join("\n"));
    assert_eq!(different.len(), DIFFERENT.len(), "a named difference has no row");
    assert!(asked > 60, "{asked} rows asked of {}", rows.len());
}

fn rows() -> Option<Vec<Value>> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let shared = std::env::var_os("LOCKKEEPER_SHARED").map_or_else(beside, PathBuf::from);
    let file = shared.join("data/routing/upstream_rows.json");
    let Ok(json) = std::fs::read_to_string(&file) else {
        writeln!(std::io::stderr().lock(), "skipped: no upstream rows at {}", file.display()).unwrap();
        return None;
    };
    Some(serde_json::from_str(&json).unwrap())
}

type Difference = (&'static str, Option<&'static str>, &'static str);

/// Asks a row of the engine and says what is wrong with the answer.
fn routed(row: &Value, check: &str, expect: &Value, ours: Option<&Difference>, dialect: &str) -> Option<String> {
    use Check::*;
    let checks: &[Check] = match check {
        "consecutive_failures" => &[ConsecutiveFailures],
        "duplicate" => &[DuplicateInProgress],
        "resource_busy" => &[ResourceBusy],
        "recently_remediated" => &[RecentlyRemediated],
        "exponential_backoff" => &[ExponentialBackoff],
        "pre_analysis" => &[ConsecutiveFailures, DuplicateInProgress, ExponentialBackoff],
        "post_analysis" => {
            &[ConsecutiveFailures, DuplicateInProgress, ResourceBusy, RecentlyRemediated, ExponentialBackoff]
        }
        other => return Some(format!("no idea what {other} is")),
    };
    let verdict = decide(row, dialect);
    let hold = verdict.findings.iter().filter(|finding| checks.contains(&finding.check)).find_map(|f| f.hit());
    let reason = hold.map(|hold| hold.reason.as_str());
    let expected = match ours {
        Some((_, ours, _)) => *ours,
        None => expect["block_reason"].as_str(),
    };
    if reason != expected {
        return Some(format!("{dialect}: {reason:?} instead of {expected:?}"));
    }
    let hold = hold.filter(|_| ours.is_none())?;
    wrong_culprit(hold, expect).or_else(|| wrong_end(hold, expect))
}

fn wrong_culprit(hold: &Hold, expect: &Value) -> Option<String> {
    let expected = expect["blocking_workflow_execution"].as_str().or(expect["duplicate_of"].as_str())?;
    let by = &*hold.by.as_ref()?.key.name;
    (by != expected).then(|| format!("held by {by} instead of {expected}"))
}

/// Upstream starts a cooldown of failures anew at each look; ours runs from the last end, so it is never later.
fn wrong_end(hold: &Hold, expect: &Value) -> Option<String> {
    let expected = expect["blocked_until_offset_s"].as_i64()?;
    let until = hold.until()?.as_second() - at(0).as_second();
    let right = if hold.reason.as_str() == "ConsecutiveFailures" { until <= expected } else { until == expected };
    (!right).then(|| format!("until {until:+} instead of {expected:+}"))
}

fn decide(row: &Value, dialect: &str) -> Verdict {
    let index = Index::default();
    for rr in row["other_rrs"].as_array().unwrap().iter().chain([&row["rr"]]) {
        put::<RemediationRequest>(&index, &request(rr, dialect));
    }
    for wfe in row["wfes"].as_array().unwrap() {
        put::<WorkflowExecution>(&index, &execution(wfe, dialect));
    }
    index.listed::<RemediationRequest>(&keys(row["other_rrs"].as_array().unwrap().iter().chain([&row["rr"]])));
    index.listed::<WorkflowExecution>(&keys(row["wfes"].as_array().unwrap().iter()));

    let target = row["target_resource"].as_str().filter(|target| !target.is_empty());
    let own = row["wfes"].as_array().unwrap().iter().find(|wfe| wfe["owner_rr_uid"] == row["rr"]["uid"]);
    let request = Request {
        key: own.map(key),
        parent: Some(ParentRef {
            namespace: text(&row["rr"]["namespace"]).into(),
            name: text(&row["rr"]["name"]).into(),
            uid: None,
        }),
        workflow_id: row["workflow_id"].as_str().filter(|id| !id.is_empty()).map(Into::into),
        ..Request::target(Target::parse(target.unwrap_or("default/pod/nobody"), None).unwrap())
    };
    let view = index.view(&request, Instant::now() + Duration::from_secs(10)).unwrap();
    routing::decide(&request, &view, &policy(&row["config"]), at(0))
}

fn keys<'a>(objects: impl Iterator<Item = &'a Value>) -> std::collections::HashSet<ObjectKey> {
    objects.map(key).collect()
}

fn key(object: &Value) -> ObjectKey {
    ObjectKey { namespace: text(&object["namespace"]).into(), name: text(&object["name"]).into() }
}

fn put<T: Tracked>(index: &Index, object: &Value) {
    let facts = T::read(&object.to_string()).unwrap();
    index.put(Seen { key: facts.key().clone(), facts: Ok(facts) });
}

fn policy(config: &Value) -> Policy {
    let seconds = |key: &str| Duration::from_secs(config[key].as_u64().unwrap()).into();
    let mut policy = Policy::default();
    let checks = &mut policy.checks;
    let threshold = u32::try_from(config["consecutive_failure_threshold"].as_u64().unwrap()).unwrap();
    checks.consecutive_failures.threshold = threshold.try_into().unwrap();
    checks.consecutive_failures.cooldown = seconds("consecutive_failure_cooldown_s");
    checks.recently_remediated.cooldown = seconds("recently_remediated_cooldown_s");
    checks.exponential_backoff.base = seconds("exponential_backoff_base_s");
    checks.exponential_backoff.max = seconds("exponential_backoff_max_s");
    policy
}

/// A stored request as Kubernaut stored it before (flat) or after (grouped) August 2026.
fn request(row: &Value, dialect: &str) -> Value {
    let said = &row["status"];
    let routing = json!({
        "nextAllowedExecution": time(&said["next_allowed_execution_offset_s"]),
        "consecutiveFailureCount": said["consecutive_failure_count"],
    });
    let end = json!({"outcome": said["outcome"], "failurePhase": said["failure_phase"]});
    let mut status = if dialect == "grouped" {
        json!({"routingStatus": routing, "completionStatus": end})
    } else {
        merged(&routing, &end)
    };
    status["overallPhase"] = row["phase"].clone();
    json!({
        "apiVersion": "kubernaut.ai/v1alpha1",
        "kind": "RemediationRequest",
        "metadata": meta(row),
        "spec": {"signalFingerprint": row["fingerprint"], "targetResource": row["target"]},
        "status": status,
    })
}

fn execution(row: &Value, dialect: &str) -> Value {
    let bundle = if dialect == "grouped" { "executionBundle" } else { "containerImage" };
    json!({
        "apiVersion": "kubernaut.ai/v1alpha1",
        "kind": "WorkflowExecution",
        "metadata": meta(row),
        "spec": {
            "workflowRef": {"workflowId": row["workflow_id"], bundle: "registry.example/workflow:v1"},
            "targetResource": row["target_resource"],
        },
        "status": {"phase": row["phase"], "completionTime": time(&row["completion_offset_s"])},
    })
}

fn meta(row: &Value) -> Value {
    json!({
        "name": row["name"],
        "namespace": row["namespace"],
        "uid": row["uid"],
        "creationTimestamp": time(&row["created_offset_s"]),
    })
}

fn merged(a: &Value, b: &Value) -> Value {
    let members = |value: &Value| value.as_object().unwrap().clone();
    members(a).into_iter().chain(members(b)).collect::<serde_json::Map<_, _>>().into()
}

fn backoff(row: &Value, expect: &Value) -> Option<String> {
    let seconds = |key: &str| Duration::from_secs(row["given"][key].as_u64().unwrap()).into();
    let backoff = Backoff { base: seconds("base_s"), max: seconds("max_s"), ..Backoff::default() };
    let attempts = usize::try_from(row["given"]["attempts"].as_u64().unwrap()).unwrap();
    let (ours, theirs) = (backoff.after(attempts).as_secs(), expect["nominal_s"].as_u64().unwrap());
    (ours != theirs).then(|| format!("{ours} s instead of {theirs} s"))
}

/// What upstream does with a Blocked request tells whether its block still holds.
fn published(row: &Value, expect: &Value) -> Option<String> {
    let (given, mut blocked) = (&row["given"], json!({"name": "rr", "namespace": "n", "phase": "Blocked"}));
    blocked["created_offset_s"] = json!(0);
    let mut rr = request(&blocked, "flat");
    rr["status"]["blockReason"] = given["block_reason"].clone();
    rr["status"]["blockedUntil"] = time(&given["blocked_until_offset_s"]);
    let index = Index::default();
    put::<RemediationRequest>(&index, &rr);
    index.listed::<RemediationRequest>(&keys([&blocked].into_iter()));
    index.listed::<WorkflowExecution>(&keys([].into_iter()));
    let request = Request {
        parent: Some(ParentRef { namespace: "n".into(), name: "rr".into(), uid: None }),
        ..Request::target(Target::parse("n/pod/p", None).unwrap())
    };
    let view = index.view(&request, Instant::now() + Duration::from_secs(10)).unwrap();
    let holds = !routing::decide(&request, &view, &Policy::default(), at(0)).admitted();
    let waits = expect["action"] == "wait" || expect["phase"] == "Blocked";
    (holds != waits).then(|| format!("holds: {holds} instead of {waits}"))
}

fn candidate(row: &Value, expect: &Value) -> Option<String> {
    let spec = json!({
        "remediationRequestRef": {"name": "rr"},
        "workflowRef": {"workflowId": "w", "executionBundle": row["given"]["execution_bundle"]},
        "targetResource": row["given"]["target_resource"],
    });
    let read = Candidate::from_json(&json!({"metadata": {"name": "we"}, "spec": spec}).to_string(), Some("n"));
    let valid = expect["valid"].as_bool().unwrap();
    (read.is_ok() != valid).then(|| format!("{read:?}"))
}

fn own_target(row: &Value, expect: &Value) -> Option<String> {
    let (signal, chosen) = (&row["given"]["rr_target"], &row["given"]["rca_target"]);
    let rr = json!({
        "metadata": {"name": "rr", "namespace": "n"},
        "spec": {"targetResource": signal},
        "status": {"workflowSelection": {"remediationTarget": chosen}},
    });
    let target = RemediationRequest::from_json(&rr.to_string()).unwrap().own_target();
    let written = target.as_ref().map_or("none", |target| target.as_written());
    (written != expect["target_resource"]).then(|| format!("{written} instead of {}", expect["target_resource"]))
}

fn terminal(row: &Value, expect: &Value) -> Option<String> {
    row["given"]["phases"].as_array().unwrap().iter().find_map(|phase| {
        let rr = json!({"metadata": {"name": "rr"}, "status": {"overallPhase": phase}});
        let terminal = RemediationRequest::from_json(&rr.to_string()).unwrap().phase.terminal();
        (terminal != expect["terminal"]).then(|| format!("{phase}: {terminal}"))
    })
}

fn at(offset: i64) -> Timestamp {
    Timestamp::from_second(1_767_607_200 + offset).unwrap()
}

fn time(offset: &Value) -> Value {
    offset.as_i64().map_or(Value::Null, |offset| at(offset).to_string().into())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}
