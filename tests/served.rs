//! What of a conversion only the running server shows: the memory that it takes, and its end.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A lockkeeper over the example state; it ends with its owner.
struct Server {
    child: Child,
    folder: tempfile::TempDir,
    https: String,
    admin: String,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_lockkeeper"))
            .args(["serve", "--state", "examples/state", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--log-format", "json", "--tls-dir"])
            .arg(folder.path())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self { child, folder, https: String::new(), admin: String::new() };
        let said = server.says("serving");
        server.https = said["https"].as_str().unwrap().to_owned();
        server.admin = said["admin"].as_str().unwrap().to_owned();
        server
    }

    /// Waits for a line of its log.
    fn says(&self, message: &str) -> Value {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(line) =
                lines.into_iter().find(|line| line["message"].as_str().is_some_and(|it| it.contains(message)))
            {
                return line;
            }
            assert!(Instant::now() < until, "{message} is not in\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// curl to `/convert`, with more of its arguments.
    fn convert(&self, args: &[&str]) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "120", "--cacert"])
            .arg(self.folder.path().join("ca.crt"))
            .args(["-H", "Content-Type: application/json", "-H", "Expect:"])
            .args(args)
            .arg(format!("https://{}/convert?timeout=30s", self.https))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        curl
    }

    fn get(&self, path: &str) -> String {
        let output = Command::new("curl").args(["-sS", &format!("http://{}{path}", self.admin)]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn object(name: &str, bytes: usize) -> Value {
    json!({"apiVersion": "kubernaut.ai/v1alpha1", "kind": "WorkflowExecution",
        "metadata": {"name": name, "namespace": "payments", "creationTimestamp": "2026-01-05T10:00:00Z"},
        "spec": {"targetResource": "payments/Deployment/api", "executionConfig": {"timeout": "30m"},
            "workflowRef": {"workflowId": "restart", "containerImage": "r/i"}, "parameters": {"SCRIPT": "x".repeat(bytes)}}})
}

fn review(objects: &[Value]) -> String {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
        "request": {"uid": "u", "desiredAPIVersion": "kubernaut.ai/v1beta1", "objects": objects}})
    .to_string()
}

/// L-04: what is on its way when the process is told to end is answered, probes answer until then, and it ends by itself.
#[test]
fn a_conversion_under_way_is_answered_when_the_server_is_told_to_end() {
    let mut server = Server::start();
    // Two that have sent half of what they have to say.
    let body = review(&[object("a", 1000)]);
    let (first, second) = body.split_at(body.len() / 2);
    let mut calls: Vec<_> = (0..2).map(|_| server.convert(&["-i", "-X", "POST", "-T", "-"]).spawn().unwrap()).collect();
    let mut pipes: Vec<_> = calls.iter_mut().map(|call| call.stdin.take().unwrap()).collect();
    for pipe in &mut pipes {
        pipe.write_all(first.as_bytes()).unwrap();
        pipe.flush().unwrap();
    }
    let taken = "lockkeeper_conversion_duration_seconds_count";
    std::thread::sleep(Duration::from_millis(500));
    assert!(server.get("/metrics").contains(&format!("{taken} 0")), "{}", server.get("/metrics"));
    assert!(Command::new("kill").args(["-TERM", &server.child.id().to_string()]).status().unwrap().success());
    server.says("told to end");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(server.get("/livez"), "ok\n");
    for mut pipe in pipes {
        pipe.write_all(second.as_bytes()).unwrap();
    }
    for call in calls {
        let said = String::from_utf8(call.wait_with_output().unwrap().stdout).unwrap().to_lowercase();
        assert!(said.starts_with("http/1.1 200") && said.contains(r#""status":"success""#), "{said}");
        assert!(said.contains("\r\nconnection: close\r\n"), "{said}");
    }
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    server.says("ended");
}

/// C-18: the most that a call of 50 MB adds, the body and the answer included.
#[cfg(target_os = "linux")]
#[test]
fn c_18_a_body_of_50_mb_takes_less_than_three_times_its_size() {
    let server = Server::start();
    let body = review(&(0..5_000).map(|i| object(&format!("o-{i}"), 10_000)).collect::<Vec<_>>());
    let [sent, got] = ["sent", "got"].map(|name| server.folder.path().join(name));
    std::fs::write(&sent, &body).unwrap();
    let peak = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    };
    let before = peak();
    let data = format!("@{}", sent.display());
    let file = |path: &PathBuf| path.display().to_string();
    let answered = server.convert(&["--data-binary", &data, "-o", &file(&got), "-w", "%{http_code}"]).output().unwrap();
    let took = peak() - before;
    assert_eq!(String::from_utf8_lossy(&answered.stdout), "200");
    let answer: Value = serde_json::from_slice(&std::fs::read(&got).unwrap()).unwrap();
    assert_eq!(answer["response"]["convertedObjects"].as_array().unwrap().len(), 5_000);
    assert!(body.len() > 50_000_000, "{}", body.len());
    assert!(took < 3 * body.len(), "{took} bytes for a body of {}", body.len());
}
