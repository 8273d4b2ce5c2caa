//! Operations as they come in: those that can be read are applied, and those that can not are answered in
//! their place. One that makes no sense never keeps the others from being applied.

use tally_common::api::{OperationDraft, OperationResult, Outcome};

use crate::tables::{Tables, TablesError};

/// Operations in their order, some of which may make no sense.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    drafts: Vec<OperationDraft>,
    /// The place of each that makes no sense, with its answer.
    refused: Vec<(usize, OperationResult)>,
}

impl Batch {
    /// Takes an operation.
    pub(crate) fn push(&mut self, draft: OperationDraft) {
        self.drafts.push(draft);
    }

    /// Takes one that makes no sense. `message_id` is empty where none could be read.
    pub(crate) fn refuse(&mut self, message_id: &str, problem: String) {
        let message_id = message_id.to_owned();
        let (outcome, problem) = (Outcome::Invalid, Some(problem));
        let answer =
            OperationResult { message_id, outcome, version: None, repeated: false, problem };
        self.refused.push((self.len(), answer));
    }

    /// Operations in it.
    pub(crate) fn len(&self) -> usize {
        self.drafts.len() + self.refused.len()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Applies them, and gives the answers in their order.
    ///
    /// # Errors
    /// As [`Tables::apply`].
    pub(crate) async fn apply(
        self,
        tables: &Tables,
        table: &str,
    ) -> Result<Vec<OperationResult>, TablesError> {
        if self.drafts.is_empty() {
            // That there is such a table must be said all the same.
            tables.table(table)?;
            return Ok(self.refused.into_iter().map(|(_, answer)| answer).collect());
        }
        let applied = tables.apply(table, self.drafts).await?;
        Ok(in_order(applied, self.refused))
    }
}

/// Puts the answers of those that made no sense between the others, in their places.
fn in_order(
    applied: Vec<OperationResult>,
    refused: Vec<(usize, OperationResult)>,
) -> Vec<OperationResult> {
    if refused.is_empty() {
        return applied;
    }
    let mut all = Vec::with_capacity(applied.len() + refused.len());
    let mut applied = applied.into_iter();
    for (place, answer) in refused {
        let before = place - all.len();
        all.extend(applied.by_ref().take(before));
        all.push(answer);
    }
    all.extend(applied);
    all
}

#[cfg(test)]
mod tests {
    use tally_common::table::OperationKind;

    use super::*;

    #[test]
    fn answers_stand_where_their_operations_stood() {
        let draft = |id: &str| OperationDraft {
            message_id: id.to_owned(),
            op: OperationKind::Add,
            key: None,
            row: None,
            expected_version: None,
        };
        for wrong in ["", "a", "e", "ae", "bc", "abcde"] {
            let mut batch = Batch::default();
            for id in ["a", "b", "c", "d", "e"] {
                if wrong.contains(id) {
                    batch.refuse(id, "no".to_owned());
                } else {
                    batch.push(draft(id));
                }
            }
            assert_eq!((batch.len(), batch.is_empty()), (5, false));
            let applied = batch.drafts.iter().map(|draft| OperationResult {
                message_id: draft.message_id.clone(),
                outcome: Outcome::Added,
                version: Some(1),
                repeated: false,
                problem: None,
            });
            let all = in_order(applied.collect(), batch.refused);
            let ids: Vec<_> = all.iter().map(|answer| answer.message_id.as_str()).collect();
            assert_eq!(ids, ["a", "b", "c", "d", "e"]);
            for answer in &all {
                let refused = wrong.contains(&answer.message_id);
                assert_eq!(answer.outcome == Outcome::Invalid, refused, "{wrong}: {answer:?}");
            }
        }
    }
}
