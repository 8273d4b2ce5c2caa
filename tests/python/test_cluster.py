"""The harness itself: a cluster comes up, counts, survives a restart of its master, and is gone at the end."""


def test_a_cluster_counts_and_comes_back(start_cluster):
    cluster = start_cluster(slaves=1)
    job = cluster.submit(b"Song,Date,Number of Plays\nA,2020-02-01,2\nA,2020-02-01,3\n", "name=seed")
    assert cluster.ended(job["id"])["state"] == "succeeded"
    cluster.restart_master(kill=True)
    cluster.wait_for_slaves(1)
    result = cluster.get(f"/api/v1/jobs/{job['id']}/result")
    assert result.text == "Song,Date,Total Number of Plays for Date\nA,2020-02-01,5\n"
    cluster.stop()
    assert not cluster.folder.exists()
    assert cluster.master.child.poll() is not None
