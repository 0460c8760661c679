//! Copies of a run, and what says that it is of an execution and is not: they are told of nobody.

use kube::api::{ObjectMeta, PostParams};

use super::*;

/// A run as somebody makes a copy of it: `kubectl get -o yaml`, another name, `kubectl create`.
async fn copy(tekton: &Tekton, of: &DynamicObject, name: &str) {
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        namespace: of.metadata.namespace.clone(),
        labels: of.metadata.labels.clone(),
        annotations: of.metadata.annotations.clone(),
        ..ObjectMeta::default()
    };
    let mut made = DynamicObject { types: of.types.clone(), metadata, data: of.data.clone() };
    made.data["status"].take();
    tekton.0.create(&PostParams::default(), &made).await.unwrap();
    let status = json!({"startTime": in_seconds(-9), "completionTime": in_seconds(0), "conditions": condition("True", "Succeeded", "done")});
    tekton.0.patch_status(name, &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await.unwrap();
}

#[tokio::test]
async fn copies_of_a_run_say_nothing_of_its_execution() {
    let Some(stage) = own(false).await else { return };
    let world = World::new(&stage.server, "copies").await;
    let tekton = Tekton::of(&stage.server).await;
    let target = world.target("api");
    world.request("rr", "s", json!({"overallPhase": "Analyzing"})).await;
    world.execution("we", "rr", &target, Value::Null).await;
    let run = tekton.run_on(&target).await;
    ends(&stage, &world, "we", "Running").await;
    copy(&tekton, &run, "copy").await;
    // Whoever suspends it, it goes on for ever.
    let labels = run.metadata.labels.clone().unwrap();
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": run.metadata.name, "namespace": RUNS, "labels": labels, "annotations": run.metadata.annotations},
        "spec": {"suspend": true, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "registry/c:1"}]}}},
    });
    stage.server.kubectl(support::ADMIN, &["create", "-f", "-"], Some(&job.to_string())).await.expect_success();
    tekton
        .say(&target, json!({"startTime": in_seconds(-9), "conditions": condition("Unknown", "Running", "1 of 2")}))
        .await;
    let api = world.api("WorkflowExecution");
    eventually("the copies were heard of, and it runs", ACTION, || async {
        let object = api.get("we").await.unwrap();
        if object.data["status"]["phase"] == "Running" && object.data["status"].to_string().contains("1 of 2") {
            Ok(())
        } else {
            Err(object.data["status"].to_string())
        }
    })
    .await;
    let failed =
        json!({"completionTime": in_seconds(0), "conditions": condition("False", "PipelineRunTimeout", "too late")});
    tekton.say(&target, failed).await;
    let object = ends(&stage, &world, "we", "Failed").await;
    let details = &object.data["status"]["failureDetails"];
    assert_eq!(
        (&details["reason"], &details["message"]),
        (&json!("DeadlineExceeded"), &json!("too late")),
        "{details}"
    );
    // Its own goes when its time is over; the copies are not its own.
    eventually("its run is gone", ACTION, || async {
        let left = tekton.0.list(&kube::api::ListParams::default()).await.unwrap().items;
        let left: Vec<_> = left.into_iter().filter_map(|run| run.metadata.name).collect();
        if left == ["copy"] { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}
