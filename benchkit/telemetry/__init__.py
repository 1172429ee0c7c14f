"""What the server and the host say of themselves beside a run, on the run's clock."""
