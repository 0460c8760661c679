//! A failure in each of Kubernaut's three shapes: it leaves with its name, its own schema takes it, and the executor is never in
//! the way of itself.

use serde_json::{Value, json};

use super::scene::{self, COUNTED, KILLED, Tekton, Writer, reason_and_flag};
use crate::dialects::Dialect;
use crate::stage::{World, in_seconds};

/// An execution in one dialect, and who writes its status.
struct Desk<'a> {
    world: &'a World<'a>,
    dialect: &'a Dialect,
    we: Writer,
}

pub async fn written(world: &World<'_>, dialect: &Dialect) {
    scene::allow_writing(world.server).await;
    scene::in_force(world, dialect.candidate).await;
    let desk = Desk { world, dialect, we: world.we().await };
    desk.transitions().await;
    desk.killed().await;
    desk.told_by_the_status_alone().await;
    desk.without_a_word().await;
    if dialect.duplicates {
        desk.duplicate().await;
    }
}

impl Desk<'_> {
    async fn create(&self, name: &str) {
        scene::create(self.world, self.dialect.candidate, name).await;
    }

    /// The whole object, as upstream's executor writes.
    async fn put(&self, name: &str, members: Value) -> Value {
        let put = self.we.put(name, |status| {
            let mut all = status.as_object().cloned().unwrap_or_default();
            all.extend(members.as_object().unwrap().clone());
            *status = all.into();
        });
        put.await.unwrap_or_else(|told| panic!("{}, {name}: {told:?}", self.dialect.name))
    }

    fn running(&self, name: &str) -> Value {
        let condition = condition(self.dialect.conditions[0], "True", "Created", "created");
        json!({"phase": "Running", "startTime": in_seconds(-60), self.dialect.run: {"name": self.world.run_of(name)}, "conditions": [condition]})
    }

    fn ended(&self, phase: &str, status: &str, reason: &str, message: &str) -> Value {
        let said = json!({"status": status, "reason": reason, "message": message, "totalTasks": 1});
        let complete = condition(self.dialect.conditions[1], status, "TaskFailed", message);
        json!({"phase": phase, "completionTime": in_seconds(0), "duration": "1m0s", self.dialect.said: said,
               "conditions": [condition("AuditRecorded", "True", "AuditSucceeded", "m"), complete]})
    }

    fn failed(&self, reason: &str, ran: bool, run: (&str, &str)) -> Value {
        let mut status = self.ended("Failed", "False", run.0, run.1);
        status["failureDetails"] = scene::failed(reason, ran)["failureDetails"].clone();
        status["failureDetails"]["message"] = json!(run.1);
        status
    }

    /// All that were seen of upstream's executor (reference, 10.1).
    async fn transitions(&self) {
        let name = "succeeds";
        self.create(name).await;
        self.put(name, json!({"phase": "Pending"})).await;
        self.put(name, self.running(name)).await;
        self.put(name, json!({})).await;
        self.put(name, self.ended("Completed", "True", "Succeeded", "All Tasks have completed executing")).await;
        self.put(name, json!({"conditions": [condition("AuditRecorded", "False", "AuditFailed", "m")]})).await;
        let invalid = self.failed("ConfigurationError", false, ("", "workflowRef is required"));
        for (name, first) in [("never-began", None), ("gave-up", Some(json!({"phase": "Pending"})))] {
            self.create(name).await;
            if let Some(first) = first {
                self.put(name, first).await;
            }
            let stored = self.put(name, invalid.clone()).await;
            assert_eq!(reason_and_flag(&stored), ("ConfigurationError", false), "{name}");
            self.put(name, json!({"conditions": [condition("AuditRecorded", "False", "AuditFailed", "m")]})).await;
        }
    }

    async fn killed(&self) {
        let name = "killed";
        self.create(name).await;
        self.put(name, self.running(name)).await;
        Tekton::beside(self.world.server).await.killed(self.world, name).await;
        let mut sent = self.failed("TaskFailed", true, ("Failed", COUNTED));
        sent["failureReason"] = json!("TaskFailed");
        let stored = self.put(name, sent).await;
        assert_eq!(reason_and_flag(&stored), ("OOMKilled", true), "{stored}");
        let told = &stored["conditions"][1];
        assert_eq!((&told["reason"], &told["message"]), (&json!("OOMKilled"), &json!(KILLED)), "{stored}");
        assert_eq!(stored["failureReason"], "OOMKilled", "{stored}");
        assert_eq!(stored["failureDetails"]["exitCode"], 137);
        // The second write of a failure that August 2026 makes.
        let again = self.put(name, json!({"conditions": stored["conditions"]})).await;
        assert_eq!(again["failureDetails"], stored["failureDetails"]);
    }

    async fn told_by_the_status_alone(&self) {
        let name = "run-unknown";
        self.create(name).await;
        self.put(name, self.running(name)).await;
        let stored = self.put(name, self.failed("Unknown", false, ("TaskRunFailed", "task failed: OOMKilled"))).await;
        assert_eq!(reason_and_flag(&stored), ("OOMKilled", true), "{stored}");
    }

    /// RO ends an execution so: the schema wants all of the details or none.
    async fn without_a_word(&self) {
        let name = "cascade";
        self.create(name).await;
        self.put(name, self.running(name)).await;
        let stored = self.put(name, json!({"phase": "Failed", "completionTime": in_seconds(0)})).await;
        assert_eq!(reason_and_flag(&stored), ("Unknown", true), "there was a run: {stored}");
    }

    async fn duplicate(&self) {
        let name = "duplicate";
        self.create(name).await;
        let mut sent = self.failed("Deduplicated", false, ("", "Execution resource already exists"));
        sent["deduplicatedBy"] = json!("we-0");
        let stored = self.put(name, sent).await;
        assert_eq!(reason_and_flag(&stored), ("Deduplicated", false), "{stored}");
        for other in [json!("we-9"), json!(null)] {
            let told = self.we.write(name, &json!({"deduplicatedBy": other})).await.unwrap_err();
            assert_eq!((&*told.reason, &*told.field), ("DeduplicationImmutable", "status.deduplicatedBy"));
        }
        // That stands before the end as well.
        self.create("named").await;
        self.put("named", json!({"deduplicatedBy": "we-0"})).await;
        let told = self.we.write("named", &json!({"deduplicatedBy": "we-9"})).await.unwrap_err();
        assert_eq!((&*told.reason, &*told.field), ("DeduplicationImmutable", "status.deduplicatedBy"));
        // Nobody becomes one afterwards, nor whose own run did something.
        let duplicate = json!({"failureDetails": {"reason": "Deduplicated"}, "deduplicatedBy": "we-0"});
        let told = self.we.write("cascade", &duplicate).await.unwrap_err();
        assert_eq!((&*told.reason, &*told.field), ("FailureImmutable", "status.failureDetails.reason"));
        self.create("acted").await;
        self.put("acted", self.running("acted")).await;
        Tekton::beside(self.world.server).await.killed(self.world, "acted").await;
        let mut sent = self.failed("Deduplicated", false, ("", "Execution resource already exists"));
        sent["deduplicatedBy"] = json!("we-0");
        assert_eq!(reason_and_flag(&self.put("acted", sent).await), ("OOMKilled", true));

        let told = self.we.write(name, &json!({"blockClearance": scene::clearance(scene::WORDS)})).await.unwrap_err();
        assert_eq!((&*told.reason, &*told.field), ("ClearanceInvalid", "status.blockClearance"));
    }
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": in_seconds(0)})
}
