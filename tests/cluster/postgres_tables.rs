//! Tables in a Postgres: the tests of tables in a file, once more.

/// Tests of another file on a Postgres, under the same names.
macro_rules! again {
    ($from:ident: $($test:ident)+) => {
        mod $from {
            $(
                #[test]
                fn $test() {
                    tally_tests::on_postgres(crate::$from::$test);
                }
            )+
        }
    };
}

// Not what is refused before a row comes to the store, nor by which way a file comes.
again! { ingest:
    a_file_fills_its_table_whatever_it_is_packed_in
    of_a_key_that_comes_again_the_last_row_counts_and_a_report_says_so
    replacing_deletes_what_is_not_in_the_file
    bad_records_are_rejected_before_anything_is_applied
    a_table_is_made_after_the_file_where_its_key_is_named
    an_ingest_outlives_a_slave_that_dies_and_goes_beside_counting
    a_master_that_dies_while_it_applies_goes_on_where_it_was
    a_cancelled_ingest_stops_between_chunks
}

again! { tables:
    each_operation_has_its_outcome_once
    a_sum_does_not_leave_its_integers
    what_makes_no_sense_is_said_and_harms_nothing
    csv_and_json_lines_are_operations_too
    rows_come_in_pages_sorted_and_filtered
    changes_are_followed_over_a_restart
}

again! { readers:
    nobody_waits_for_a_file_that_is_merged_into_a_table
    nobody_waits_for_a_file_that_replaces_a_table
}

again! { watched_tables:
    a_table_follows_a_folder_that_is_served
    what_a_source_brings_is_applied_once_whenever_the_master_dies
}

again! { hammer:
    a_table_is_what_its_acknowledged_outcomes_say
}
