"""What a review of the first version found wrong, by number, and what holds each today.

The letters: T the truth of a hit, F identical calls under way, S stores and files, D the decorator, P providers and wires,
V speed, A structure, L the command line. A test is named as pytest names it; a figure may be held by a row of the benchmark.
`test_findings.py` looks whether all of them exist.
"""

from __future__ import annotations

FINDINGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "T1": (
        "a message that its caller changed while the call was under way was what was asked, and was stored under the first key",
        (
            "tests/engine/test_snapshot.py::test_a_change_at_any_effect_of_a_call_changes_nothing",
            "tests/engine/test_snapshot.py::test_a_change_at_any_effect_of_an_awaited_call_changes_nothing_for_it_and_its_waiters",
            "tests/engine/test_snapshot.py::test_a_change_in_another_thread_between_two_attempts_changes_nothing",
        ),
    ),
    "T2": (
        "the fast path served entries that had expired, and the flow did not",
        (
            "tests/engine/test_judgement.py::test_memory_warmed_from_a_store_serves_nothing_that_has_expired",
            "tests/cache/test_tiered.py::test_an_expired_entry_in_memory_is_looked_for_further_down",
            "tests/engine/test_judgement.py::test_the_fast_path_and_the_flow_always_agree",
        ),
    ),
    "T3": (
        "a context of which no key can be made broke a call that works without a cache",
        (
            "tests/cache/test_key.py::test_a_call_that_cannot_be_keyed_is_answered_and_says_why",
            "tests/cache/test_key.py::test_an_integer_of_any_size_has_a_form",
        ),
    ),
    "T4": (
        "times of several zones, paths of two systems, and schemas with 1 and True shared a key",
        (
            "tests/cache/test_key.py::test_times_and_paths_of_different_meaning_never_share_a_form",
            "tests/engine/test_response_type.py::test_annotations_that_python_calls_equal_have_plans_of_their_own",
        ),
    ),
    "T5": (
        "the key depended on the hash seed and on whether a role was a StrEnum, and a dataclass's automatic docstring was sent",
        (
            "tests/cache/test_key.py::test_another_process_with_another_hash_seed_makes_the_same_key",
            "tests/cache/test_key.py::test_what_a_request_shows_alike_has_one_key",
            "tests/engine/test_response_type.py::test_the_signature_that_python_gives_a_dataclass_as_docstring_describes_nothing",
        ),
    ),
    "T6": (
        "a stored completion that today's SDK can't build raised out of create_with_completion for ever",
        (
            "tests/engine/test_judgement.py::test_a_completion_that_todays_sdk_cannot_build_is_asked_for_again_and_replaced",
        ),
    ),
    "T7": (
        "an entry that validators refuse was read, validated and counted as a hit twice",
        ("tests/engine/test_judgement.py::test_an_entry_that_is_refused_is_read_and_validated_once_and_is_no_hit",),
    ),
    "F1": (
        "while a provider was down, callers who waited for one another failed one after the other",
        (
            "tests/engine/test_outage.py::test_threads_fail_beside_each_other",
            "tests/engine/test_outage.py::test_tasks_fail_beside_each_other",
        ),
    ),
    "F2": (
        "a call's own timeout did not bound its wait for an identical call",
        (
            "tests/engine/test_waiters.py::test_a_calls_own_timeout_ends_its_wait_and_it_goes_on_alone",
            "tests/engine/test_question.py::test_a_calls_own_timeout_bounds_its_wait",
        ),
    ),
    "F3": (
        "a leader whose event loop was stopped or closed held every later caller for ever",
        (
            "tests/engine/test_waiters.py::test_a_thread_that_waits_for_a_task_goes_on_when_the_tasks_loop_ends",
            "tests/cache/test_flight.py::test_a_leader_whose_loop_is_gone_frees_its_waiters_and_its_key",
        ),
    ),
    "F4": (
        "waiters whose validators refused the leader's answer all asked at once",
        ("tests/engine/test_waiters.py::test_waiters_that_refuse_an_answer_make_one_more_request_between_them",),
    ),
    "F5": (
        "a leader with cache_ttl=0 kept its waiters from storing the answer that they shared",
        ("tests/engine/test_waiters.py::test_waiters_that_may_store_an_answer_do_so_where_their_leader_may_not",),
    ),
    "F6": (
        "a validator that makes its own call again in another thread waited for itself, for longer than its timeout",
        (
            "tests/cache/test_flight.py::test_a_leader_does_not_wait_for_itself",
            "tests/engine/test_waiters.py::test_a_validator_that_asks_the_same_in_a_foreign_thread_waits_for_its_timeout_only",
        ),
    ),
    "F7": (
        "under trio the asynchronous client failed in the cache, with a warning for each call",
        ("tests/engine/test_drive.py::test_an_asynchronous_client_without_asyncio_says_what_to_use",),
    ),
    "S1": (
        "one flipped bit in an entry switched DiskCache off, did not heal, and put the answer into the log",
        (
            "tests/cache/test_sqlite_repair.py::test_a_flipped_bit_in_an_entry_costs_that_entry_and_shows_nothing_of_it",
            "tests/cache/test_handle.py::test_an_error_that_quotes_the_answer_is_named_only",
        ),
    ),
    "S2": (
        "an entry with a member of the wrong type raised out of create and out of cache_stats",
        ("tests/cache/test_entry.py::test_a_member_of_the_wrong_type_is_refused",),
    ),
    "S3": (
        "DiskCache served from a file that had been deleted or replaced",
        ("tests/cache/test_sqlite_file.py::test_a_read_notices_that_the_file_was_deleted_or_replaced",),
    ),
    "S4": (
        "one damaged page cost the whole file, and damage to a name in its schema never healed",
        (
            "tests/cache/test_sqlite_repair.py::test_a_page_that_is_lost_costs_the_entries_on_it_and_no_others",
            "tests/cache/test_sqlite_repair.py::test_a_damaged_name_in_the_schema_is_damage_and_not_an_error_for_ever",
        ),
    ),
    "S5": (
        "RedisCache's timeout bounded each piece of an answer, and not the operation",
        ("tests/cache/test_redis_pool.py::test_a_timeout_bounds_an_operation_whose_answer_comes_in_pieces",),
    ),
    "S6": (
        "a read-only DiskCache never hit",
        (
            "tests/cache/test_sqlite_file.py::test_a_read_only_directory_serves_its_answers_and_says_that_it_stores_nothing",
        ),
    ),
    "S7": (
        "another process's smaller limit cut a store, what was used was evicted first, and the WAL went beyond the limit",
        (
            "tests/cache/test_sqlite.py::test_another_processes_smaller_limit_cuts_nothing",
            "tests/cache/test_sqlite.py::test_a_use_counts_at_once",
            "tests/cache/test_sqlite.py::test_the_limit_holds_for_the_file_and_its_log_together",
        ),
    ),
    "S8": (
        "a symbolic link planted in the cache's directory led into another application's database",
        (
            "tests/cache/test_sqlite_file.py::test_a_link_planted_in_the_directory_is_refused_and_its_target_left_alone",
            "tests/cache/test_sqlite_file.py::test_another_applications_database_is_left_alone",
            "tests/cache/test_sqlite_file.py::test_directories_are_made_for_the_owner_alone_whatever_the_umask",
        ),
    ),
    "S9": (
        "a store that returned a memoryview never hit",
        (
            "tests/cache/test_handle.py::test_text_comes_back_in_any_type_that_drivers_use",
            "tests/cache/test_entry.py::test_a_store_may_return_anything_like_bytes",
        ),
    ),
    "S10": (
        "waiting for a worker thread counted as the store's time, so writes of paid answers were dropped",
        (
            "tests/cache/test_threads.py::test_waiting_for_a_thread_does_not_count_for_tasks",
            "tests/cache/test_threads.py::test_waiting_for_a_thread_does_not_count_for_threads",
            "tests/cache/test_many_at_once.py::test_hundreds_of_tasks_are_served",
        ),
    ),
    "S11": (
        "a gateway's credential in a response header was stored, and one in a request header stood in the error",
        (
            "tests/providers/test_completions.py::test_cookies_and_keys_among_the_headers_of_a_response_are_not_kept",
            "tests/test_headers.py::test_a_response_header_that_holds_a_credential_under_a_new_name_is_not_stored",
            "tests/test_exceptions.py::test_the_request_in_an_error_holds_no_credential",
        ),
    ),
    "D1": (
        "a decorated method of an object that holds a client was served results of the object's earlier data",
        (
            "tests/function/test_codec.py::test_a_receiver_that_holds_a_client_is_keyed_by_its_data",
            "tests/function/test_codec.py::test_methods_of_an_instance_without_a_canonical_form_are_not_cached_and_the_log_says_so",
        ),
    ),
    "D2": (
        "two scripts with decorated functions of one name shared their results",
        ("tests/function/test_codec.py::test_two_scripts_never_share_a_key",),
    ),
    "D3": (
        "a decorated function's hit had other types inside than the live result",
        (
            "tests/function/test_comparison.py::test_values_that_differ_anywhere_are_not_the_same",
            "tests/function/test_comparison.py::test_whatever_is_kept_comes_back_the_same",
        ),
    ),
    "D4": (
        "all who waited for a decorated function raised one error object, whose traceback grew",
        ("tests/function/test_question.py::test_every_waiter_gets_an_error_of_its_own_whoever_led",),
    ),
    "D5": (
        "f(1) and f(1.0), or a tuple and a list, shared a result of a decorated function",
        (
            "tests/function/test_codec.py::test_arguments_that_differ_are_never_taken_for_each_other",
            "tests/cache/test_key.py::test_arguments_of_a_function_have_one_form_if_and_only_if_no_program_tells_them_apart",
        ),
    ),
    "D6": (
        "a decorated method of a plain class never hit, and nothing said so",
        (
            "tests/function/test_codec.py::test_methods_of_an_instance_without_a_canonical_form_are_not_cached_and_the_log_says_so",
        ),
    ),
    "P1": (
        "every current model of OpenAI refused what was sent by default",
        (
            "tests/integration/test_model_families.py::test_a_model_answers_with_no_argument_but_its_name",
            "tests/integration/test_model_families.py::test_the_server_refuses_what_was_sent_before_the_table",
        ),
    ),
    "P2": (
        "so did the thinking models of DeepSeek, Moonshot, DashScope and Z.ai",
        ("tests/integration/test_model_families.py::test_a_model_answers_with_no_argument_but_its_name",),
    ),
    "P3": (
        "the JSON_SCHEMA mode read no answer in a fence, after a thought, in prose, or behind a byte order mark",
        ("tests/wires/test_openai_chat.py::test_every_mode_reads_json_with_something_around_it",),
    ),
    "P4": (
        "patterns that local servers refuse were sent as they stood, and OpenAI's limits on characters were not kept",
        (
            "tests/wires/test_schema.py::test_patterns_are_anchored_wherever_they_stand_or_described_where_they_cannot_be",
            "tests/providers/test_capabilities.py::test_local_servers_need_anchored_patterns",
            "tests/wires/test_schema.py::test_a_pattern_in_the_syntax_of_one_language_goes_into_the_description",
            "tests/wires/test_schema.py::test_an_enum_of_many_values_is_bounded_in_characters",
            "tests/wires/test_schema.py::test_names_and_values_are_bounded_in_characters",
        ),
    ),
    "P5": (
        "Anthropic had no native structured output, though its newest models can't be forced to call a tool",
        (
            "tests/wires/test_anthropic.py::TestJsonSchema::test_the_api_holds_the_text_to_the_schema",
            "tests/wires/test_schema.py::test_what_pydantic_writes_fits_anthropics_subset_or_is_refused",
        ),
    ),
    "P6": (
        "temperature=0 was refused by Anthropic's API under the version that its SDK names",
        (
            "tests/integration/test_arguments.py::TestAnthropic::test_sampling_arguments_choose_a_version_unless_the_caller_does",
            "tests/integration/test_model_families.py::test_a_model_answers_with_a_limit_and_a_temperature",
        ),
    ),
    "P7": (
        "Mode.ANTHROPIC_TOOLS and 31 other names of 1.x were gone",
        ("tests/test_mode.py::test_every_name_of_1x_resolves_with_one_warning_that_names_todays",),
    ),
    "P8": (
        "OpenAI's account variables went to every other vendor, and into the keys of its calls",
        ("tests/providers/test_adapters.py::test_account_variables_of_openai_reach_openai_only",),
    ),
    "P9": (
        "Azure's Responses API and its v1 endpoint were asked under paths that they don't have",
        ("tests/providers/test_azure.py::test_each_api_gets_its_path_and_only_the_dated_one_a_version",),
    ),
    "P10a": (
        "Anthropic's SDK refused to send a request for a long answer, and create had no way to lift it",
        ("tests/providers/test_adapters.py::test_a_long_answer_of_anthropics_gets_the_time_that_it_may_take",),
    ),
    "P10b": (
        "an empty turn in the history was sent on, which APIs refuse",
        (
            "tests/integration/test_arguments.py::TestEmptyContent::test_a_part_without_text_is_not_sent",
            "tests/integration/test_arguments.py::TestEmptyContent::test_an_empty_turn_makes_no_difference_to_the_key",
        ),
    ),
    "P10c": (
        "messages were translated between the APIs' forms, and tools were not",
        (
            "tests/wires/test_tools.py::test_a_function_is_known_by_its_form_and_read_from_it",
            "tests/integration/test_tool_calls.py::test_the_users_own_tools_are_called_and_the_conversation_goes_on",
        ),
    ),
    "P10d": (
        "max_tokens went to models that know the output limit by another name",
        (
            "tests/integration/test_model_families.py::test_a_model_answers_with_a_limit_and_a_temperature",
            "tests/providers/test_capabilities.py::test_a_model_gets_the_capabilities_of_its_family",
        ),
    ),
    "P10e": (
        "property names that Anthropic's API refuses were sent to it",
        (
            "tests/wires/test_anthropic.py::TestPropertyNames::test_the_api_is_sent_names_that_it_takes",
            "tests/wires/test_property_names.py::test_every_name_that_is_sent_is_allowed_and_comes_back_as_it_was",
        ),
    ),
    "P10f": (
        "Claude models that can't be forced to call a tool were forced, and one that thinks got little room",
        (
            "tests/providers/test_capabilities.py::test_a_model_gets_the_capabilities_of_its_family",
            "tests/wires/test_anthropic.py::TestToolChoice::test_a_model_that_cannot_be_forced_is_asked",
            "tests/wires/test_anthropic.py::test_a_model_that_thinks_by_default_gets_room_for_it",
        ),
    ),
    "P10g": (
        "clients of one asyncio.run after another complained about a closed event loop",
        (
            "tests/providers/test_clients.py::test_one_client_serves_one_asyncio_run_after_another",
            "tests/providers/test_clients.py::test_a_loop_closed_without_its_end_leaves_nothing_that_fails_on_another",
        ),
    ),
    "P10h": (
        "the oldest SDKs that are allowed were not tested",
        ("tests/test_pins.py::test_the_oldest_versions_that_are_allowed_are_those_that_are_tested",),
    ),
    "P10i": (
        "JSON that a person can read cost a retry, which stubborn models never won",
        (
            "tests/wires/test_openai_chat.py::test_every_mode_reads_json_that_can_mean_one_thing_only",
            "tests/wires/test_reader.py::test_control_characters_in_strings_and_trailing_commas_are_mended",
            "tests/wires/test_reader.py::test_what_can_mean_one_thing_only_is_read",
        ),
    ),
    "P10j": (
        "a vendor whose service has ended stood in the table, and examples named models that are about to go",
        (
            "tests/test_docs.py::test_examples_name_models_that_stay",
            "tests/providers/test_table.py::test_a_vendor_whose_service_has_ended_is_not_offered",
        ),
    ),
    "P10k": (
        "an error said that a model was asked once, where its SDK had sent the request three times",
        (
            "tests/integration/test_retries.py::test_without_a_number_it_is_left_to_the_sdk",
            "tests/integration/test_retries.py::test_a_failed_request_is_sent_again_as_often_as_you_say",
            "tests/integration/test_retries.py::test_a_call_ends_with_its_time",
        ),
    ),
    "V1": (
        "the memory of keys was emptied at 16,384 calls or 32 MB, so hits of a large store took ten times as long",
        (
            "tests/engine/test_key_memo.py::test_the_memo_is_sized_with_the_store",
            "tests/engine/test_key_memo.py::test_what_is_used_stays_however_much_else_comes",
            "benchmarks/cases.py::cyclic",
            "benchmarks/cases.py::12kb",
        ),
    ),
    "V2": (
        "the key of a call of more than 4 MB was made anew for each hit",
        (
            "tests/engine/test_key_memo.py::test_a_call_is_named_by_its_encoding_alone_and_shortly",
            "benchmarks/cases.py::5mb",
            "benchmarks/cases.py::10mb",
        ),
    ),
    "V3": (
        "a hit with its completion took 40 times as long as one without",
        (
            "tests/engine/test_judgement.py::test_a_hit_that_is_heard_or_has_its_completion_is_served_by_the_fast_path",
            "benchmarks/cases.py::completion",
            "benchmarks/cases.py::raw",
        ),
    ),
    "V4": (
        "a listener for hits took a client off the fast path",
        (
            "tests/engine/test_judgement.py::test_a_hit_that_is_heard_or_has_its_completion_is_served_by_the_fast_path",
            "benchmarks/cases.py::listener",
        ),
    ),
    "V5": (
        "an awaited hit of DiskCache took five times as long as a synchronous one",
        ("benchmarks/cases.py::disk-await",),
    ),
    "V6": (
        "a cache added much to a miss, and a stored answer of 1 MB was decoded with a completion that nobody read",
        (
            "tests/cache/test_entry.py::test_a_long_answer_is_left_out_of_the_completion_and_put_back",
            "benchmarks/cases.py::miss-memory",
            "benchmarks/cases.py::miss-disk",
            "benchmarks/cases.py::disk-1mb",
        ),
    ),
    "V7": (
        "under a free-threaded release candidate of Python, hits in other threads were slow: its own look-ups were",
        ("tests/test_client.py::test_counters_lose_nothing_between_threads", "benchmarks/cases.py::threads"),
    ),
    "A1": (
        "the conversation with the cache was written twice, for clients and for decorated functions, and had drifted apart",
        (
            "tests/test_layers.py::test_what_is_done_in_one_place_is_done_there_only",
            "tests/function/test_question.py::test_a_miss_reads_claims_runs_and_writes_in_this_order",
            "tests/engine/test_question.py::test_a_miss_reads_claims_sends_and_writes_in_this_order",
        ),
    ),
    "A2": (
        "a keyword of a call stood in 23 places of one file, and eleven arguments were passed on without types",
        (
            "tests/test_limits.py::test_a_keyword_of_a_call_is_named_in_few_places",
            "tests/test_layers.py::test_files_and_functions_stay_short",
        ),
    ),
    "A3": (
        "the class of a call was not in the file that is named after it",
        ("tests/test_layers.py::test_what_is_done_in_one_place_is_done_there_only",),
    ),
    "A4": (
        "memory was a second kind of store that every room had to know",
        (
            "tests/cache/test_tiered.py::test_an_answer_is_written_to_all_and_found_in_the_first",
            "tests/cache/test_tiered.py::test_counters_are_kept_for_each_tier_and_for_the_path",
            "tests/cache/test_counters.py::test_a_store_is_counted_once_however_it_is_asked",
        ),
    ),
    "A5": ("Any stood where types matter", ("tests/test_limits.py::test_any_grows_rarer",)),
    "A6": (
        "promises of CONTRIBUTING were not kept: examples that fail, rules about rooms that don't exist, a picture that lies",
        (
            "tests/test_docstrings.py::test_an_example_prints_what_it_says",
            "tests/test_docstrings.py::test_no_example_is_skipped",
            "tests/test_docs.py::test_the_python_of_a_page_runs_from_top_to_bottom",
            "tests/test_docs.py::test_every_arrow_of_the_architecture_is_an_import",
            "tests/test_layers.py::test_every_room_of_the_rules_exists",
            "tests/engine/test_drive.py::test_both_clients_tell_the_same_story",
        ),
    ),
    "A7": (
        "the contract of stores and what wraps them imported each other",
        ("tests/test_layers.py::test_no_files_need_each_other_to_be_imported",),
    ),
    "A8": (
        "several functions were written twice or more, each time otherwise",
        ("tests/test_layers.py::test_what_is_done_in_one_place_is_done_there_only",),
    ),
    "A9": (
        "that an answer may not be stored was said in five ways and decided in three places",
        (
            "tests/test_layers.py::test_what_is_done_in_one_place_is_done_there_only",
            "tests/engine/test_question.py::test_a_ttl_of_zero_stores_nothing",
            "tests/engine/test_question.py::test_a_completion_that_cannot_be_written_down_is_returned_and_not_stored",
            "tests/engine/test_question.py::test_a_raw_completion_that_is_no_whole_answer_is_returned_and_not_stored",
        ),
    ),
    "A10": (
        "readers got lost in files with many jobs and in forty-five words of the package's own",
        (
            "tests/test_layers.py::test_files_and_functions_stay_short",
            "tests/test_docs.py::test_the_glossary_is_short",
            "tests/test_client.py::test_a_hit_in_memory_builds_no_call",
        ),
    ),
    "L1": (
        "instructor extract paid for everything again once its cache was larger than 1 GiB",
        (
            "tests/cli/test_extract.py::test_the_cache_evicts_nothing_unless_a_size_is_set",
            "tests/cache/test_sqlite.py::test_before_entries_of_this_day_are_removed_a_warning_says_what_to_set",
        ),
    ),
    "L2": (
        "a closed terminal or repeated Ctrl-C dropped paid answers that were under way",
        (
            "tests/cli/test_interruption.py::test_a_terminal_that_is_closed_loses_nothing",
            "tests/cli/test_interruption.py::test_repeated_signals_lose_no_answer_that_is_under_way",
        ),
    ),
}
