"""What users of an early version met, and where it differed from 1.x, by number, each with what holds it today.

N1 to N12 are defects that people and programs ran into; C1 to C18 are differences from `instructor` 1.17 in public
features. What holds a finding is a test that fails if it came back, or, for a difference that stays, the words of a
page that explain it.
"""

from __future__ import annotations

USER_FINDINGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "N1": (
        "RedisCache took more than 100 calls at once for an outage and left a healthy server alone for 10 s",
        (
            "tests/cache/test_redis_pool.py::test_many_more_threads_than_connections_wait_for_each_other",
            "tests/cache/test_redis_pool.py::test_many_more_tasks_than_connections_wait_for_each_other",
            "tests/cache/test_redis_pool.py::test_a_pool_of_the_users_that_stays_used_up_is_no_outage",
            "tests/cache/test_many_at_once.py::test_hundreds_of_tasks_are_served",
        ),
    ),
    "N2": (
        "DiskCache beside a busy event loop called finished writes failed, lost paid answers, and warned nine times",
        (
            "tests/cache/test_many_at_once.py::test_tasks_are_served_beside_a_busy_loop",
            "tests/cache/test_threads.py::test_waiting_for_a_thread_does_not_count_for_tasks",
            "tests/cache/test_threads.py::test_an_operation_in_a_thread_is_not_late_because_the_loop_of_its_task_is_busy",
            "tests/cache/test_threads.py::test_a_result_that_is_there_is_not_late_because_the_loop_was_busy",
            "tests/cache/test_threads.py::test_what_a_cancelled_task_has_queued_is_kept_if_it_is_paid_for",
            "tests/cache/test_handle.py::test_an_outage_is_warned_of_once_whatever_succeeds_in_between",
        ),
    ),
    "N3": (
        "the README claimed all names of 1.x where 7 of 39 were there; the others ended in a bare AttributeError",
        (
            "tests/test_old_names.py::test_a_name_of_1_x_is_what_the_page_says",
            "tests/test_old_names.py::test_the_page_has_todays_table",
            "tests/test_old_names.py::test_a_missing_name_says_what_to_use",
            "tests/test_old_names.py::test_what_comes_later_says_so_when_it_is_called",
            "tests/test_version.py::test_it_is_newer_than_any_1_x_of_upstream_and_told_apart_by_the_pin_that_we_name",
        ),
    ),
    "N4": (
        "seconds_saved counted imports, rests and waiting, and the command line claimed more time than there was",
        (
            "tests/engine/test_question.py::test_the_time_of_an_answer_is_that_of_its_requests_alone",
            "tests/engine/test_question.py::test_a_shared_answer_saves_its_tokens_and_no_time",
            "tests/offline/test_offline.py::test_the_time_of_the_first_answer_does_not_count_the_import",
            "tests/providers/test_adapters.py::test_what_the_sdk_imports_for_its_chat_is_imported_beside_the_loop",
            "tests/test_ledger.py::test_a_shared_request_saves_its_tokens_and_no_time",
            "tests/cli/test_progress.py::test_the_summary_never_claims_more_time_than_there_was",
            "tests/cli/test_progress.py::test_a_shared_answer_saves_a_request_but_no_time",
        ),
    ),
    "N5": (
        "one 429 broke a whole process pool, because an InstructorRetryException couldn't be unpickled",
        (
            "tests/test_exceptions.py::test_an_error_of_an_sdk_comes_back_from_a_pickle_as_its_name_and_text",
            "tests/test_exceptions.py::test_a_failed_call_in_a_process_pool_fails_alone",
            "tests/test_exceptions.py::test_a_failed_call_in_a_multiprocessing_pool_is_raised",
        ),
    ),
    "N6": (
        "cache=DiskCache, cache='redis://...' and cache=redis.Redis() were refused without a word about what to write",
        ("tests/test_checks.py::test_what_is_not_a_store_is_answered_with_what_to_write",),
    ),
    "N7": (
        "a test of the decorator needed a quiet machine: it took 0.01 s for longer than four look-ups on disk",
        ("tests/function/test_decorator.py::test_those_who_wait_get_the_error_and_nothing_is_stored",),
    ),
    "N8": (
        "the command line wrote JSON lines into .csv and .parquet, and lacked most of what others of its kind have",
        (
            "tests/cli/test_output_forms.py::test_each_field_is_a_column",
            "tests/cli/test_output_forms.py::test_the_command_line_reads_and_writes_tables",
            "tests/cli/test_clients.py::test_they_reach_the_provider_and_belong_to_the_key",
            "tests/cli/test_clients.py::test_the_key_may_be_in_any_variable",
            "tests/cli/test_clients.py::test_a_second_run_finds_its_answers_on_the_server",
            "tests/cli/test_extract.py::test_the_version_is_shown",
            "tests/cli/test_extract.py::test_a_mode_may_be_written_in_any_case",
            "tests/cli/test_extract.py::test_help_shows_what_serves_every_vendor",
            "tests/cli/test_catalogue.py::test_the_shell_can_ask_for_completions",
            "tests/cli/test_inputs.py::test_files_and_patterns_are_read_in_order_and_named",
            "tests/cli/test_config_file.py::test_a_file_may_hold_every_option",
            "tests/cli/test_dry_run.py::test_nothing_is_asked_and_the_estimate_goes_by_what_was_answered",
            "tests/cli/test_cache.py::test_ls_lists_what_fits",
            "tests/test_mode.py::test_a_mode_is_found_by_name_and_value_in_any_case_without_a_warning",
            "tests/test_mode.py::test_an_unknown_name_is_an_error",
        ),
    ),
    "N9": (
        "a client was no context manager, couldn't be closed without a key, and didn't show its cache",
        (
            "tests/test_client.py::test_a_client_without_a_key_is_a_context_manager_and_can_be_closed",
            "tests/test_client.py::test_the_sdks_client_is_closed_at_the_end_of_a_with_block",
            "tests/cache/test_redis.py::test_a_block_closes_the_connections_at_its_end",
        ),
    ),
    "N10": (
        "mock.create_autospec and inspect.getmembers raised on a client without a key",
        ("tests/test_client.py::test_a_client_can_be_looked_at_and_mocked_without_a_key",),
    ),
    "N11": (
        "type checkers reported the README's handlers and took unions for Any; misspelt names passed unanswered",
        (
            "tests/test_typing.py::test_a_wrong_use_is_reported_where_it_stands_and_the_code_of_the_readme_is_right",
            "tests/test_client.py::test_a_keyword_that_cannot_be_meant_is_refused_before_anything_is_sent",
            "tests/test_client.py::test_a_misspelt_method_is_answered_with_the_one_meant",
        ),
    ),
    "N12": (
        "mistakes passed in silence or blamed the wrong thing, warnings stood at our line, reprs and the log were bare",
        (
            "tests/test_client.py::test_settings_of_a_cache_without_a_cache_warn",
            "tests/test_client.py::test_a_misspelt_keyword_of_a_client_is_refused_when_the_client_is_made",
            "tests/test_checks.py::test_a_misspelt_keyword_is_answered_with_the_one_meant",
            "tests/engine/test_question.py::test_a_misspelt_argument_is_refused_with_the_one_that_is_meant",
            "tests/cache/test_redis.py::test_a_wrong_argument_is_refused_without_showing_secrets",
            "tests/test_templating.py::test_a_variable_that_the_context_lacks_is_named_once_and_stays_as_written",
            "tests/integration/test_retries.py::test_a_refused_key_names_its_variable",
            "tests/integration/test_retries.py::test_where_nothing_answers_the_url_is_named",
            "tests/test_client.py::test_a_warning_is_shown_at_the_callers_line",
            "tests/test_client.py::test_a_misspelt_method_is_answered_with_the_one_meant",
            "tests/test_hooks.py::test_a_set_of_hooks_shows_which_events_have_handlers",
            "tests/cache/test_store.py::test_counters_show_the_hit_rate_and_leave_out_what_a_store_cannot_say",
            "tests/test_client.py::test_a_client_its_store_and_its_usage_are_tables_in_a_notebook",
            "tests/test_debug_log.py::test_it_shows_misses_requests_and_hits_of_a_client_that_was_made_before_it_was_on",
            "tests/test_client.py::test_a_client_that_cannot_leave_its_process_says_what_to_do",
        ),
    ),
    "C1": (
        "modes of 1.x such as Mode.ANTHROPIC_TOOLS and Mode('anthropic_tools') were no members",
        (
            "tests/test_mode.py::test_every_name_of_1x_resolves_with_one_warning_that_names_todays",
            "tests/test_mode.py::test_an_attribute_of_1x_works_as_the_first_line_of_a_program",
        ),
    ),
    "C2": (
        "an asynchronous client was no instance of Instructor, so that models with such a field refused it",
        ("tests/test_client.py::test_an_asynchronous_client_passes_for_a_client_as_in_1_x",),
    ),
    "C3": (
        "answers had neither _raw_response nor _total_usage, and lists no get_raw_response()",
        (
            "tests/cache/test_carried.py::test_an_answer_carries_its_completion_live_and_from_every_store",
            "tests/cache/test_carried.py::test_a_list_is_a_plain_list_when_it_is_copied_or_pickled",
            "docs/migrating.md::Not on a plain `int`, `str`, dict or dataclass",
        ),
    ),
    "C4": (
        "Instructor(client=, create=, mode=, provider=) was refused",
        (
            "tests/test_constructor.py::test_over_a_function",
            "tests/test_constructor.py::test_over_a_coroutine_function",
            "tests/test_constructor.py::test_over_an_sdks_client_alone",
        ),
    ),
    "C5": (
        "a factory failed over a mock of an SDK's client",
        (
            "tests/test_constructor.py::test_a_mock_of_the_sdk_will_do",
            "tests/providers/test_adapters.py::test_a_mock_of_an_sdks_client_is_taken_for_the_client",
            "tests/providers/test_adapters.py::test_mocks_of_the_other_sdks_clients_are_taken_too",
        ),
    ),
    "C6": (
        "create_with_completion and create_iterable refused the order of 1.x, messages first",
        (
            "tests/test_constructor.py::test_the_order_of_1_x_is_taken_too",
            "docs/migrating.md::the order of 1.x works too",
        ),
    ),
    "C7": (
        "async for over the answer to Iterable[X] raised a TypeError",
        (
            (
                "tests/streaming/test_stream_calls.py"
                "::test_an_iterable_that_is_not_streamed_is_a_list_that_async_for_takes_too"
            ),
            "docs/migrating.md::a list, which `async for` takes too",
        ),
    ),
    "C8": (
        "autodetect_images=, True or False, reached the SDK, which refused it",
        ("tests/integration/test_media.py::test_detection_on_request_sends_what_a_text_stands_for",),
    ),
    "C9": (
        "Gemini's safety_settings as a dict weren't turned into the SDK's list",
        ("tests/wires/test_genai.py::test_safety_settings_may_be_a_dict",),
    ),
    "C10": (
        "a plain text as messages= was refused",
        ("tests/test_constructor.py::test_a_text_is_one_message",),
    ),
    "C11": (
        "a missing key raises at the first request and not in from_provider; it stays so",
        (
            "docs/migrating.md::a missing key raises in `from_provider`",
            "tests/providers/test_adapters.py::test_a_missing_key_fails_at_the_first_request_and_names_the_variable",
        ),
    ),
    "C12": (
        "a wrong name of an event, maxsize=0 and an empty cache_namespace raised what was no ValueError",
        (
            "tests/test_hooks.py::test_a_wrong_event_is_a_value_error_as_upstream_has_it",
            "tests/cache/test_store.py::test_a_wrong_argument_of_a_store_is_a_value_error_too",
            "tests/test_client.py::test_a_wrong_argument_is_named_before_anything_is_sent",
        ),
    ),
    "C13": (
        "Anthropic's models couldn't be asked in Mode.JSON_SCHEMA",
        (
            "tests/providers/test_capabilities.py::test_a_model_gets_the_capabilities_of_its_family",
            "tests/providers/test_table.py::test_every_mode_of_a_row_is_spoken_by_its_wire",
        ),
    ),
    "C14": (
        "make_cache_key demanded a mode",
        ("tests/cache/test_key.py::test_the_mode_may_be_left_out",),
    ),
    "C15": (
        "client.provider was no member of Provider, and kwargs, create_fn and default_model weren't there",
        (
            "tests/test_constructor.py::test_the_attributes_of_1_x",
            "tests/test_constructor.py::test_over_a_function",
            "tests/test_old_names.py::test_a_vendors_name_is_text_and_a_member",
            "docs/migrating.md::`Provider.OPENAI` for Azure, Ollama, LiteLLM",
        ),
    ),
    "C16": (
        "InstructorError.from_exception and ProviderError(failed_attempts=) were missing; str() is shorter, and stays so",
        (
            "tests/test_constructor.py::test_an_error_can_be_made_of_another",
            "tests/test_exceptions.py::test_every_error_comes_back_as_it_was",
            "docs/migrating.md::`str()` of an `InstructorRetryException` holds no completions",
        ),
    ),
    "C17": (
        "errors have other words than in 1.x; it stays so",
        ("docs/migrating.md::match classes and attributes",),
    ),
    "C18": (
        "from instructor.core import InstructorRetryException failed",
        ("tests/test_exports.py::test_exceptions_are_found_where_upstream_has_them",),
    ),
}
