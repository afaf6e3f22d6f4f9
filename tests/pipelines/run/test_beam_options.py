"""Beam's options as jobs are given them."""

import copy

from apache_beam.options.pipeline_options import GoogleCloudOptions, StandardOptions

from sluice.pipelines.run.runner import pipeline_options


def test_what_is_set_through_one_view_shows_in_all_and_a_copy_goes_its_own_way():
    options = pipeline_options(["--region=europe-west1"], "cut")
    options.view_as(GoogleCloudOptions).region = "us-east1"
    copied = copy.deepcopy(options)
    copied.view_as(GoogleCloudOptions).region = "asia-east1"
    assert options.view_as(GoogleCloudOptions).region == options.get_all_options()["region"] == "us-east1"
    assert copied.get_all_options()["region"] == "asia-east1"
    assert copied.view_as(StandardOptions).runner == "FnApiRunner"


def test_a_copy_takes_no_account_that_only_the_submission_may_use():
    options = pipeline_options(["--impersonate_service_account=robot"], "cut")
    assert options.view_as(GoogleCloudOptions).impersonate_service_account == "robot"
    assert copy.deepcopy(options).view_as(GoogleCloudOptions).impersonate_service_account is None
