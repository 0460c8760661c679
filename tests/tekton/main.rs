//! What Tekton's own controller stores when a run goes wrong, and what that means; and what lockkeeper tells of the runs that it
//! makes for executions.

#[path = "../support/mod.rs"]
mod support;

#[path = "../e2e/stage.rs"]
#[allow(dead_code, reason = "this test binary uses a part of it")]
mod gate;
mod life;
mod lives;
mod lockkeeper_beside;
mod scene;
mod scenes;
mod stage;

use std::io::Write;
use std::process::{Command, Stdio};

use futures::future::{join, join_all};
use lockkeeper_beside::Lockkeeper;
use scene::{Scene, Stored};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// A scene and its end.
struct Played {
    scene: Scene,
    end: Result<Stored, String>,
}

/// All that was played beside one Tekton.
struct Evening {
    scenes: Vec<Played>,
    lives: Vec<Result<(), String>>,
}

/// All scenes and lives, played once side by side; none without the test bench.
async fn played() -> Option<&'static Evening> {
    static PLAYED: OnceCell<Option<Evening>> = OnceCell::const_new();
    let played = PLAYED.get_or_init(|| async {
        let stage = stage::Stage::start().await?;
        let (scenes, lives) = (scenes::all(), lives::all());
        let (ends, lives) = {
            let lockkeeper = Lockkeeper::start(stage.server()).await;
            let scenes = join_all(scenes.iter().map(|scene| scene.play(&stage)));
            join(scenes, join_all(lives.iter().map(|life| life.live(&lockkeeper)))).await
        };
        stage.finish(ends.iter().all(Result::is_ok) && lives.iter().all(Result::is_ok));
        let scenes = scenes.into_iter().zip(ends).map(|(scene, end)| Played { scene, end }).collect();
        Some(Evening { scenes, lives })
    });
    played.await.as_ref()
}

#[tokio::test]
async fn tekton_stores_what_the_scenes_name() {
    let Some(Evening { scenes: played, .. }) = played().await else { return };
    let wrong: Vec<String> = played.iter().filter_map(|played| played.stored().err()).collect();
    assert!(wrong.is_empty(), "{} of {} scenes:\n{}", wrong.len(), played.len(), wrong.join("\n"));
}

#[tokio::test]
async fn classify_names_each_scene() {
    let Some(Evening { scenes: played, .. }) = played().await else { return };
    let wrong: Vec<String> = played.iter().filter_map(|played| played.classified().err()).collect();
    assert!(wrong.is_empty(), "{} of {} scenes:\n{}", wrong.len(), played.len(), wrong.join("\n"));
}

#[tokio::test]
async fn lockkeeper_carries_executions_out_and_tells_how_they_end() {
    let Some(Evening { lives, .. }) = played().await else { return };
    let wrong: Vec<&str> = lives.iter().filter_map(|life| life.as_ref().err()).map(String::as_str).collect();
    assert!(wrong.is_empty(), "{} of {} lives:\n{}", wrong.len(), lives.len(), wrong.join("\n"));
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
