use super::*;

use tally_common::table::OperationKind;

fn ids(body: &str, property: Option<&str>) -> Result<Vec<String>, String> {
    let drafts = operations(body.as_bytes(), property)?;
    assert!(drafts.iter().all(|draft| draft.op == OperationKind::Delete));
    Ok(drafts.into_iter().map(|draft| draft.message_id).collect())
}

#[test]
fn operations_come_alone_as_an_array_and_one_behind_the_other() {
    let a = r#"{"message_id":"a","op":"delete","key":"x"}"#;
    let b = r#"{"message_id":"b","op":"delete","key":"y"}"#;
    assert_eq!(ids(a, None).unwrap(), ["a"]);
    assert_eq!(ids(&format!(" [{a},\n{b}]"), None).unwrap(), ["a", "b"]);
    assert_eq!(ids(&format!("{a}\n\n{b}\r\n"), None).unwrap(), ["a", "b"]);
    assert_eq!(ids(&format!(r#"{{"operations":[{b},{a}]}}"#), None).unwrap(), ["b", "a"]);
    assert_eq!(ids(&format!("\u{feff}{}", a.replace(',', ",\n  ")), None).unwrap(), ["a"]);
}

#[test]
fn one_alone_may_leave_its_id_to_the_property() {
    let one = r#"{"op":"delete","key":"x"}"#;
    assert_eq!(ids(one, Some("p")).unwrap(), ["p"]);
    assert_eq!(ids(r#"{"message_id":"a","op":"delete"}"#, Some("p")).unwrap(), ["a"]);
    assert!(ids(one, None).unwrap_err().contains("message_id"));
    let two = format!("{one}\n{one}");
    assert!(ids(&two, Some("p")).unwrap_err().contains("operation 1"), "which would have it?");
}

#[test]
fn what_is_no_operation_is_named() {
    for (body, word) in [
        ("", "no operation"),
        ("[]", "no operation"),
        ("{", "no JSON"),
        ("not json", "no JSON"),
        (r#"{"message_id":"a","op":"delete"} {"op""#, "operation 2"),
        (r#"{"message_id":"a","op":"remove"}"#, "remove"),
        (r#"{"message_id":"a","op":"delete","tabel":1}"#, "tabel"),
        (r#"[{"op":"delete"}]"#, "message_id"),
        ("7", "the operation"),
        ("[1", "array"),
    ] {
        let error = ids(body, Some("p")).unwrap_err();
        assert!(error.contains(word), "{body}: {error}");
    }
    assert!(operations(b"\xff\xfe{\x00", None).is_err());
}

fn result(id: &str, outcome: Outcome) -> OperationResult {
    let (version, repeated, problem) = (None, false, None);
    OperationResult { message_id: id.to_owned(), outcome, version, repeated, problem }
}

#[test]
fn refusals_are_answers_unless_the_operator_wants_to_see_them() {
    let done = [result("a", Outcome::Added), result("b", Outcome::Unchanged)];
    assert_eq!(fate(&done, true), Fate::Done);
    let refused = [result("a", Outcome::Added), result("b", Outcome::Conflict)];
    assert_eq!(fate(&refused, false), Fate::Refused);
    assert_eq!(fate(&refused, true), Fate::Dead(r#"operation 2 ("b"): conflict"#.to_owned()));
    let alone = [result("a", Outcome::Exists)];
    assert_eq!(fate(&alone, true), Fate::Dead(r#"operation ("a"): exists"#.to_owned()));
}

#[test]
fn an_invalid_operation_is_dead_at_once_whatever_the_others_are() {
    let mut invalid = result("b", Outcome::Invalid);
    invalid.problem = Some("the table has no column \"x\"".to_owned());
    let results = [result("a", Outcome::Exists), invalid];
    let Fate::Dead(reason) = fate(&results, false) else { panic!() };
    assert!(reason.contains("operation 2") && reason.contains("no column"), "{reason}");
}

#[test]
fn retries_wait_longer_and_longer_and_end() {
    let mut waits = Vec::new();
    for attempts in 0..5 {
        let Fate::Retry { delay, reason } = again(attempts, 5, "silent".to_owned()) else {
            panic!("{attempts}")
        };
        assert_eq!(reason, "silent");
        waits.push(delay.as_secs());
    }
    assert_eq!(waits, [5, 10, 20, 40, 80]);
    let Fate::Dead(reason) = again(5, 5, "silent".to_owned()) else { panic!() };
    assert!(reason.contains("after 6 attempts"), "{reason}");
    assert!(matches!(again(0, 0, String::new()), Fate::Dead(_)));
    let Fate::Retry { delay, .. } = again(1 << 30, u32::MAX, String::new()) else { panic!() };
    assert_eq!(delay, RETRY_DELAY.1);
}

#[test]
fn a_file_is_the_body_or_where_the_body_says() {
    let json = Some("application/json; charset=utf-8");
    let path = br#"{"path": "/in/plays.csv"}"#;
    assert_eq!(place(path, None), Ok(Where::Path("/in/plays.csv".to_owned())));
    assert_eq!(place(br#"{"url":"http://h/x"}"#, json), Ok(Where::Url("http://h/x".to_owned())));
    for csv in [&b"{\"a\"},b\n1,2\n"[..], b"Song,Date\n", b"\x28\xb5\x2f\xfd", b"{}", b"null"] {
        assert_eq!(place(csv, Some("text/csv")), Ok(Where::Body));
        assert!(place(csv, json).is_err());
    }
    assert!(place(br#"{"path":"/in/a","url":"http://h/"}"#, json).is_err());
    assert!(place(b"", None).is_err());
}

#[test]
fn errors_that_are_the_masters_cost_no_attempt() {
    let job = tally_common::id::JobId::from_uuid(uuid::Uuid::nil());
    let source = InputError::Source("silent".to_owned());
    let source = JobsError::Input { job, error: source };
    assert_eq!(failure(&source), Failure::Passing("silent".to_owned()));
    assert!(matches!(failure(&JobsError::Busy(3)), Failure::Master(_)));
    assert!(matches!(failure(&JobsError::InProgress(job)), Failure::Master(_)));
    assert!(matches!(failure(&JobsError::KeyReused), Failure::Final(_)));
    assert_eq!(failure(&JobsError::KeyExpired), Failure::Before);
    let stopped = JobsError::Input { job, error: InputError::Stopped };
    assert_eq!(failure(&stopped), Failure::Stopping);
}
