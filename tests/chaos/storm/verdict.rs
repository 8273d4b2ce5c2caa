//! What must be true when the storm is over.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tally_tests::Http;

use super::Input;
use super::clients::Accepted;

/// Judges all jobs that the master shows, and all submissions that were accepted.
pub(crate) fn judge(http: &Http, inputs: &[Input], accepted: &[Accepted]) {
    let jobs = http.jobs();
    let listed: BTreeSet<&str> = jobs.iter().filter_map(|job| job["id"].as_str()).collect();
    assert_eq!(listed.len(), jobs.len(), "a job is listed twice");
    let mut ids = accepted.iter().filter_map(|accepted| accepted.job.as_deref());
    if let Some(id) = ids.find(|id| !listed.contains(id)) {
        panic!("{id} is not listed");
    }
    let mut by_name: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for job in &jobs {
        if job["state"] == "succeeded" {
            judge_result(http, job, &inputs[input_of(job)]);
        } else {
            assert_eq!(job["state"], "failed", "neither succeeded nor failed: {job}");
        }
        by_name.entry(job["name"].as_str().unwrap()).or_default().push(job);
    }
    for Accepted { name, job } in accepted {
        let found = by_name.get(name.as_str()).map_or(&[][..], Vec::as_slice);
        // An upload that broke off is no job; the retry under its key is.
        let real: Vec<_> = found.iter().filter(|job| job["input_lost"] != true).collect();
        let [only] = real[..] else { panic!("{name} made not one job but these: {found:?}") };
        assert_eq!(only["state"], "succeeded", "{only}");
        assert!(job.as_ref().is_none_or(|id| only["id"] == id.as_str()), "{name}: {only}");
    }
}

/// Which input a job has counted: its name tells.
fn input_of(job: &Value) -> usize {
    let name = job["name"].as_str().unwrap();
    name.split('-').nth(1).unwrap().parse().unwrap()
}

fn judge_result(http: &Http, job: &Value, input: &Input) {
    let result = http.get(&format!("/api/v1/jobs/{}/result", job["id"].as_str().unwrap()));
    assert_eq!(result.status, 200, "{job}: {}", result.text());
    assert!(result.body == input.totals, "other totals: {job}");
    let number = |name: &str| job["receipt"][name].as_u64().unwrap();
    assert_eq!(number("records"), input.records, "{job}");
    assert_eq!(number("records"), number("counted") + number("rejected"), "{job}");
    assert_eq!(number("rejected"), 0, "{job}");
    assert_eq!(number("bytes"), input.bytes.len() as u64, "{job}");
    // The parts add up to the whole.
    let path = format!("/api/v1/jobs/{}/receipt", job["id"].as_str().unwrap());
    let full = http.get(&path).json();
    let tasks = full["tasks"].as_array().unwrap();
    let counted = tasks.iter().map(|task| task["answer"]["counted"].as_u64().unwrap());
    assert_eq!(counted.sum::<u64>(), number("counted"), "{full}");
}
