//! What Tekton's own controller stores when a run goes wrong, and what that means.

#[path = "../support/mod.rs"]
mod support;

mod scene;
mod scenes;
mod stage;

use std::io::Write;
use std::process::{Command, Stdio};

use scene::{Scene, Stored};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// A scene and its end.
struct Played {
    scene: Scene,
    end: Result<Stored, String>,
}

/// All scenes, played once side by side; none without the test bench.
async fn played() -> Option<&'static [Played]> {
    static PLAYED: OnceCell<Option<Vec<Played>>> = OnceCell::const_new();
    let played = PLAYED.get_or_init(|| async {
        let stage = stage::Stage::start().await?;
        let scenes = scenes::all();
        let ends = futures::future::join_all(scenes.iter().map(|scene| scene.play(&stage))).await;
        stage.finish(ends.iter().all(Result::is_ok));
        Some(scenes.into_iter().zip(ends).map(|(scene, end)| Played { scene, end }).collect())
    });
    played.await.as_deref()
}

#[tokio::test]
async fn tekton_stores_what_the_scenes_name() {
    let Some(played) = played().await else { return };
    let wrong: Vec<String> = played.iter().filter_map(|played| played.stored().err()).collect();
    assert!(wrong.is_empty(), "{} of {} scenes:\n{}", wrong.len(), played.len(), wrong.join("\n"));
}

#[tokio::test]
async fn classify_names_each_scene() {
    let Some(played) = played().await else { return };
    let wrong: Vec<String> = played.iter().filter_map(|played| played.classified().err()).collect();
    assert!(wrong.is_empty(), "{} of {} scenes:\n{}", wrong.len(), played.len(), wrong.join("\n"));
}

impl Played {
    /// What is stored, if it is what the scene names.
    fn stored(&self) -> Result<&Stored, String> {
        let told = |error: &String| format!("{}: {error}", self.scene.name);
        let stored = self.end.as_ref().map_err(told)?;
        self.scene.compare(stored).map_err(|error| told(&error))?;
        Ok(stored)
    }

    /// Asks the binary about what is stored.
    fn classified(&self) -> Result<(), String> {
        let answer = classify(&self.stored()?.list());
        let meant = match self.scene.meaning {
            Some((reason, ran)) => json!({"failed": true, "reason": reason, "wasExecutionFailure": ran}),
            None => json!({"failed": false, "reason": null, "wasExecutionFailure": null}),
        };
        let differs = meant.as_object().into_iter().flatten().any(|(member, value)| answer[member] != *value);
        if differs { Err(format!("{}: expected {meant}, got {answer}", self.scene.name)) } else { Ok(()) }
    }
}

/// The answer of `lockkeeper classify` to one List.
fn classify(list: &Value) -> Value {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lockkeeper"))
        .args(["classify", "-o", "json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("lockkeeper starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin.write_all(list.to_string().as_bytes()).expect("lockkeeper reads");
    drop(stdin);
    let output = child.wait_with_output().expect("lockkeeper ends");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}
