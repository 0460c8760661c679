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
    assert_eq!(lines.last(), Some(&"1 object: 1 parks something, 0 not identical, 0 not converted"));
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
    let note = "lockkeeper: 2 objects of other kinds (AIAnalysis, Deployment) passed through unchanged; only RemediationRequest and WorkflowExecution of kubernaut.ai are converted\n";
    assert_eq!(stderr(&output), note);
    let checked = convert(&["--check", "-"], &stream);
    let note = note.replace("passed through unchanged", "not looked at");
    assert_eq!((checked.status.code(), stderr(&checked)), (Some(0), note));
    assert!(stdout(&checked).ends_with("1 object: 1 parks something, 0 not identical, 0 not converted\n"));
}

#[test]
fn a_slip_of_the_pen_is_no_other_kind() {
    for (odd, said) in [
        (
            OLD.replace("WorkflowExecution", "WorkflowExecutoin"),
            "kind \"WorkflowExecutoin\" is not known in kubernaut.ai; did you mean WorkflowExecution?",
        ),
        (
            OLD.replace("kubernaut.ai", "kubernaut.io"),
            "apiVersion \"kubernaut.io/v1alpha1\" of a WorkflowExecution, expected kubernaut.ai/v1alpha1 or kubernaut.ai/v1beta1",
        ),
    ] {
        wrong(&convert(&["-", "--to", "v1beta1"], &odd), &format!("standard input: {said}"));
        let checked = convert(&["--check", "-"], &odd);
        assert_eq!(checked.status.code(), Some(1));
        assert!(
            stdout(&checked).contains(said) && stdout(&checked).contains("1 not converted"),
            "{}",
            stdout(&checked)
        );
    }
}

#[test]
fn what_would_not_come_home_is_not_printed() {
    // Of a member that is said twice, no reader knows both.
    let twice = r#"{"apiVersion":"kubernaut.ai/v1alpha1","kind":"WorkflowExecution","metadata":{"name":"a"},"spec":{"targetResource":"a/b/c","targetResource":"d/e/f"}}"#;
    let checked = convert(&["--check", "-"], twice);
    assert_eq!(checked.status.code(), Some(1), "{}", stdout(&checked));
    assert!(stdout(&checked).contains("does not come home as it was"));
    let output = convert(
        &["-", "--to", "v1beta1"],
        &format!("{}\n{twice}\n", twice.replace(r#""targetResource":"a/b/c","#, "")),
    );
    assert_eq!((output.status.code(), stdout(&output)), (Some(1), String::new()), "{}", stderr(&output));
    let said = "lockkeeper: standard input: document 2: WorkflowExecution a would not come home from v1beta1 as it was\nlockkeeper: nothing is printed, since 1 object would lose something\n";
    assert_eq!(stderr(&output), said);
}

#[test]
fn nothing_to_look_at_is_said() {
    for list in [
        "kind: List\napiVersion: v1\nitems: []\n",
        "kind: List\napiVersion: v1\nitems: null\n",
        r#"{"kind":"WorkflowExecutionList","apiVersion":"kubernaut.ai/v1alpha1","items":null}"#,
    ] {
        let checked = convert(&["--check", "-"], list);
        assert_eq!((checked.status.code(), stderr(&checked)), (Some(0), String::new()));
        assert_eq!(stdout(&checked), "0 objects: 0 park something, 0 not identical, 0 not converted\n");
        let converted = convert(&["-", "--to", "v1beta1"], list);
        assert_eq!((converted.status.code(), stdout(&converted)), (Some(0), String::new()));
        assert_eq!(stderr(&converted), "lockkeeper: 0 objects: nothing to convert\n");
    }
}

#[test]
fn a_folder_is_its_manifests_in_the_order_of_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let named = |name: &str| OLD.replace("name: we", &format!("name: {name}"));
    let path = folder.path().to_str().unwrap();
    write("notes.txt", "a: [");
    wrong(&convert(&[path, "--to", "v1beta1"], ""), "no .yaml, .yml or .json file in this folder");
    write("b.yml", &named("b"));
    write("c.json", r#"{"apiVersion":"kubernaut.ai/v1beta1","kind":"WorkflowExecution","metadata":{"name":"c"}}"#);
    write("a.yaml", &named("a"));
    write("d.yaml", "# nothing yet\n");
    let output = convert(&[path, "--to", "v1beta1", "-o", "json"], "");
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
    let lines: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = lines.iter().map(|object| object["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

/// Its own output too, whatever its length.
#[test]
fn a_whole_cluster_goes_there_and_back_as_yaml() {
    let stream: Vec<_> = (0..5000).map(|index| OLD.replace("name: we", &format!("name: we-{index}"))).collect();
    let there = convert(&["-", "--to", "v1beta1"], &stream.join("---\n"));
    assert_eq!((there.status.code(), stderr(&there)), (Some(0), String::new()));
    let home = convert(&["-", "--to", "v1alpha1", "-o", "json"], &stdout(&there));
    assert_eq!((home.status.code(), stderr(&home)), (Some(0), String::new()));
    assert_eq!(stdout(&home).lines().count(), 5000);
    let items: String =
        stream.iter().map(|object| format!("- {}\n", object.trim_end().replace('\n', "\n  "))).collect();
    let list = format!("apiVersion: v1\nkind: List\nitems:\n{items}");
    let list = convert(&["-", "--to", "v1beta1"], &list);
    assert!(stdout(&list) == stdout(&there), "{}", stderr(&list));
}

#[test]
fn yaml_is_read_as_kubectl_reads_it() {
    let object = |odd: &str| {
        format!(
            "apiVersion: kubernaut.ai/v1alpha1\nkind: WorkflowExecution\nmetadata: {{name: a}}\nspec: {{odd: {odd}}}\n"
        )
    };
    let odd = object("[017, 0o17, 0x1f, 1_000, 1e3, 123456789012345678901234567890, '017']");
    let expected = r#""odd":[15,15,31,1000,1000,123456789012345678901234567890,"017"]"#;
    let json = convert(&["-", "--to", "v1beta1", "-o", "json"], &odd);
    assert!(stdout(&json).contains(expected), "{}{}", stdout(&json), stderr(&json));
    let bomb =
        format!("a: &a [{}]\nb: &b [{}]\nc: [{}]\n", "x, ".repeat(1000), "*a, ".repeat(1000), "*b, ".repeat(1000));
    wrong(&convert(&["-", "--to", "v1beta1"], &bomb), "write out what they stand for, or give JSON");
    // Half a character is U+FFFD to the API server, in whichever form it is written here.
    let half = object(r#""HERE""#).replace("HERE", "x");
    assert!(stdout(&convert(&["-", "--to", "v1beta1"], &half)).contains("odd: x\n"));
    let half = r#"{"apiVersion":"kubernaut.ai/v1alpha1","kind":"WorkflowExecution","metadata":{"name":"a"},"spec":{"odd":"a\ud800b"}}"#;
    assert!(stdout(&convert(&["-", "--to", "v1beta1"], half)).contains("odd: \"a\u{fffd}b\"\n"));
    let json = stdout(&convert(&["-", "--to", "v1beta1", "-o", "json"], half));
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["spec"]["odd"], "a\u{fffd}b");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("utf-16.yaml");
    let units = std::iter::once(0xfeff).chain(OLD.encode_utf16().collect::<Vec<_>>());
    std::fs::write(&file, units.flat_map(u16::to_le_bytes).collect::<Vec<_>>()).unwrap();
    let output = convert(&[file.to_str().unwrap(), "--to", "v1beta1"], "");
    assert_eq!(stdout(&output), stdout(&convert(&["-", "--to", "v1beta1"], OLD)), "{}", stderr(&output));
    std::fs::write(&file, b"a: \xff\n").unwrap();
    wrong(&convert(&[file.to_str().unwrap(), "--to", "v1beta1"], ""), "utf-16.yaml: not UTF-8");
}

/// A server that knows nothing answers 404 to everything.
#[test]
fn a_cluster_that_cannot_be_checked_is_told_with_what_to_do() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let asked = std::io::Read::read(&mut stream, &mut head).unwrap_or(0);
            let groups = head[..asked].starts_with(b"GET /apis HTTP") || head[..asked].starts_with(b"GET /apis? HTTP");
            let (status, body) = if groups {
                ("200 OK", r#"{"kind":"APIGroupList","apiVersion":"v1","groups":[]}"#)
            } else {
                ("404 Not Found", "404 page not found\n")
            };
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    let check = |kubeconfig: &str| {
        std::fs::write(&file, kubeconfig).unwrap();
        Command::new(env!("CARGO_BIN_EXE_lockkeeper"))
            .args(["convert", "--check"])
            .env("KUBECONFIG", &file)
            .env_remove("KUBERNETES_SERVICE_HOST")
            .output()
            .unwrap()
    };
    let good = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: \"http://{address}\"}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {{}}}}]\n"
    );
    wrong(
        &check(&good),
        "RemediationRequest is not installed as a CRD in this cluster; see kubectl config current-context",
    );
    let path = file.to_str().unwrap();
    wrong(&check("a: [1\n"), &format!("the kubeconfig {path} is no kubeconfig: line "));
    wrong(
        &check(&good.replace("current-context: c", "current-context: d")),
        &format!("the kubeconfig {path} cannot be used: failed to load current context: d"),
    );
    wrong(
        &check(&good.replace("current-context: c\n", "")),
        &format!("the kubeconfig {path} names no current-context"),
    );
}

/// Each shape with everything that it can say: what the program prints is the golden, and from the golden it prints what it was.
#[test]
fn each_shape_goes_there_and_home_through_the_program() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/conversion");
    let read = |file: &str| -> Value { serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap() };
    let mut count = 0;
    for kind in ["RemediationRequest", "WorkflowExecution"] {
        for shape in ["2025-12", "1.5.7", "2026-08"] {
            let (old, hub) = (format!("{folder}/{kind}.{shape}.json"), format!("{folder}/{kind}.{shape}.v1beta1.json"));
            for (from, to, expected) in [(&old, "v1beta1", &hub), (&hub, "v1alpha1", &old), (&old, "v1alpha1", &old)] {
                let output = convert(&[from, "--to", to, "-o", "json"], "");
                let text = stdout(&output);
                assert_eq!(
                    (output.status.code(), stderr(&output), text.lines().count()),
                    (Some(0), String::new(), 1),
                    "{from}"
                );
                let printed: Value = serde_json::from_str(&text).unwrap();
                assert!(printed == read(expected), "{from} became\n{text}");
                count += 1;
            }
        }
    }
    assert_eq!(count, 18);
}

/// A manifest was never created, and a timeout counts from that.
#[test]
fn a_timeout_that_counts_from_nothing_is_told() {
    let manifest = OLD.replace(", creationTimestamp: \"2026-01-05T10:00:00Z\"", "");
    let there = convert(&["-", "--to", "v1beta1"], &manifest);
    assert_eq!(there.status.code(), Some(0));
    let told = stderr(&there);
    assert!(
        told.starts_with(
            "lockkeeper: standard input: WorkflowExecution payments/we: spec.executionConfig.timeout counts from"
        ),
        "{told}"
    );
    assert!(told.contains("add spec.deadline") && told.lines().count() == 1, "{told}");
    assert_eq!(stderr(&convert(&["-", "--to", "v1beta1"], OLD)), "");
    assert_eq!(stderr(&convert(&["-", "--to", "v1alpha1"], &stdout(&there))), "");
}
