//! `lockkeeper convert` as a user sees it: output, exit codes, one clear line for what is wrong.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn convert(args: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lockkeeper"))
        .arg("convert")
        .args(args)
        .env_remove("KUBECONFIG")
        .env("HOME", "/nonexistent")
        .env_remove("KUBERNETES_SERVICE_HOST")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that does not read it may have ended already.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn wrong(output: &Output, said: &str) {
    let text = stderr(output);
    assert_eq!((output.status.code(), stdout(output)), (Some(2), String::new()), "{text}");
    assert!(text.starts_with("lockkeeper: ") && text.contains(said), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

const OLD: &str = "apiVersion: kubernaut.ai/v1alpha1
kind: WorkflowExecution
metadata: {name: we, namespace: payments, creationTimestamp: \"2026-01-05T10:00:00Z\"}
spec:
  zeta: 9007199254740993
  targetResource: payments/Deployment/api
  workflowRef: {workflowId: restart, containerImage: r/i}
  executionConfig: {timeout: 30m}
";
const FOREIGN: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d, namespace: ns}\n";

#[test]
fn yaml_comes_out_as_yaml_in_the_order_of_input_and_goes_home() {
    let request = "apiVersion: kubernaut.ai/v1alpha1\nkind: RemediationRequest\nmetadata: {name: rr}\nspec: {severity: critical}\n";
    let there = convert(&["-", "--to", "v1beta1"], &format!("{OLD}---\n{request}"));
    assert_eq!((there.status.code(), stderr(&there)), (Some(0), String::new()));
    let text = stdout(&there);
    let (first, second) = text.split_once("---\n").unwrap();
    assert!(
        first.starts_with("apiVersion: kubernaut.ai/v1beta1\nkind: WorkflowExecution\nmetadata:\n  name: we\n"),
        "{first}"
    );
    assert!(
        first.contains("\n  zeta: 9007199254740993\n")
            && first.contains("    namespace: payments\n    kind: Deployment\n"),
        "{first}"
    );
    assert!(first.contains("deadline: \"2026-01-05T10:30:00Z\"\n"), "{first}");
    assert!(second.contains("kind: RemediationRequest\n"), "{second}");
    let home = convert(&["-", "--to", "v1alpha1", "-o", "json"], &text);
    let first: Value = serde_json::from_str(stdout(&home).lines().next().unwrap()).unwrap();
    assert_eq!(first["spec"]["executionConfig"]["timeout"], "30m");
    assert!(first["metadata"].get("annotations").is_none(), "{first}");
}

#[test]
fn json_keeps_its_numbers_and_is_one_object_a_line() {
    let list = r#"{"kind": "WorkflowExecutionList", "apiVersion": "kubernaut.ai/v1alpha1", "items": [
        {"metadata": {"name": "a"}, "spec": {"odd": [1.10, 1e400, 123456789012345678901234567890]}},
        {"apiVersion": "kubernaut.ai/v1beta1", "kind": "WorkflowExecution", "metadata": {"name": "b"},
         "spec": {"x": "two  blanks"}}]}"#;
    let output = convert(&["-", "--to", "v1beta1", "-o", "json"], list);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains(r#""odd":[1.10,1e400,123456789012345678901234567890]"#), "{text}");
    let same = r#"{"apiVersion":"kubernaut.ai/v1beta1","kind":"WorkflowExecution","metadata":{"name":"b"},"spec":{"x":"two  blanks"}}"#;
    assert_eq!(lines[1], same);
}

#[test]
fn what_cannot_be_converted_is_named_and_nothing_is_printed() {
    let apart = format!("{OLD}---\n{}", OLD.replace("v1alpha1", "v1"));
    wrong(
        &convert(&["-", "--to", "v1beta1"], &apart),
        "standard input: document 2: apiVersion \"kubernaut.ai/v1\" is none of kubernaut.ai/v1alpha1, kubernaut.ai/v1beta1",
    );
    wrong(&convert(&["-", "--to", "v1beta1"], "a: [1"), "standard input: not YAML: line ");
    wrong(&convert(&["nowhere.yaml", "--to", "v1beta1"], ""), "nowhere.yaml: cannot be read");
    wrong(&convert(&["-", "--to", "v1beta1"], ""), "no object in it");
    wrong(&convert(&["-"], OLD), "required arguments were not provided: --to");
    wrong(&convert(&["-", "--check", "--to", "v1beta1"], OLD), "cannot be used with");
    wrong(&convert(&["--to", "v1beta1"], OLD), "<FILE>");
    wrong(
        &convert(&["--check"], ""),
        "no cluster found by KUBECONFIG, ~/.kube/config or in-cluster; name files instead: ",
    );
}

#[test]
fn check_says_what_would_be_parked_and_whether_all_come_home() {
    let output = convert(&["--check", "-"], OLD);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[0]
            .starts_with("standard input: WorkflowExecution payments/we  v1alpha1 as of 2025-12 → v1beta1  parks /"),
        "{text}"
    );
    assert_eq!(lines[1], "WorkflowExecution, v1alpha1 as of 2025-12: 1", "{text}");
    assert!(
        text.contains("\n  /spec/executionConfig/timeout parked in 1, such as WorkflowExecution payments/we\n"),
        "{text}"
    );
    assert_eq!(lines.last(), Some(&"1 objects: 1 park something, 0 not identical, 0 not converted"));
    let odd = OLD.replace("v1alpha1", "v1");
    let both = convert(&["--check", "-", "-o", "json"], &format!("{OLD}---\n{odd}"));
    assert_eq!(both.status.code(), Some(1));
    let lines: Vec<Value> = stdout(&both).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["identical"], &lines[0]["problem"]), (&Value::Bool(true), &Value::Null));
    assert_eq!(lines[0]["shape"], "2025-12");
    assert_eq!(
        (&lines[1]["object"], &lines[1]["identical"]),
        (&"WorkflowExecution payments/we".into(), &Value::Bool(false))
    );
    assert!(lines[1]["problem"].as_str().unwrap().contains("kubernaut.ai/v1"));
}

/// `lockkeeper convert … 2>&1 | head`.
#[test]
fn that_nobody_reads_standard_error_is_no_panic() {
    let told = |args: &[&str], stdin: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lockkeeper"))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stderr.take());
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        child.wait_with_output().unwrap().status.code()
    };
    assert_eq!(told(&["convert", "-", "--to", "v1beta1"], FOREIGN), Some(0));
    assert_eq!(told(&["convert", "-", "--check", "-o", "json"], OLD), Some(0));
    assert_eq!(told(&["convert", "-", "--to", "v1beta1"], "a: [1"), Some(2));
    assert_eq!(told(&["classify", "-"], "a: [1"), Some(2));
    assert_eq!(told(&["review", "-", "--state", "examples/state"], "a: [1"), Some(2));
    assert_eq!(told(&["no-such-command"], ""), Some(2));
}

/// A folder of manifests holds more than ours.
#[test]
fn what_is_of_another_kind_goes_through_as_it_is() {
    let analysis = "apiVersion: kubernaut.ai/v1alpha1\nkind: AIAnalysis\nmetadata: {name: a}\n";
    let stream = format!("{FOREIGN}---\n{OLD}---\n{analysis}");
    let output = convert(&["-", "--to", "v1beta1", "-o", "json"], &stream);
    assert_eq!(output.status.code(), Some(0));
    let lines: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = lines.iter().map(|object| (object["apiVersion"].as_str(), object["kind"].as_str())).collect();
    let expected = [
        ("apps/v1", "Deployment"),
        ("kubernaut.ai/v1beta1", "WorkflowExecution"),
        ("kubernaut.ai/v1alpha1", "AIAnalysis"),
    ];
    assert_eq!(told, expected.map(|(version, kind)| (Some(version), Some(kind))));
    let note = "lockkeeper: 2 objects of other kinds (AIAnalysis, Deployment) passed as they are: RemediationRequest and WorkflowExecution are converted\n";
    assert_eq!(stderr(&output), note);
    let checked = convert(&["--check", "-"], &stream);
    assert_eq!(
        (checked.status.code(), stderr(&checked)),
        (Some(0), "lockkeeper: 2 objects of other kinds (AIAnalysis, Deployment) passed\n".to_owned())
    );
    assert!(stdout(&checked).ends_with("1 objects: 1 park something, 0 not identical, 0 not converted\n"));
}
