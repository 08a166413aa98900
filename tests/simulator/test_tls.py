import ssl

import trustme
from websockets.sync.client import connect

from tests.simulator.running import Client, running_simulator


def test_the_socket_is_encrypted_where_a_certificate_is_given(tmp_path):
    authority = trustme.CA()
    file = tmp_path / "certificate.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(file)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with running_simulator(tmp_path / "simulator", "--certificate", file, "--markets", 50) as simulator:
        url = simulator.where["websocket"]
        assert url.startswith("wss://")
        headers = simulator.signed("/trade-api/ws/v2")
        with connect(url, ssl=trusting, additional_headers=headers, compression=None) as connection:
            client = Client(connection)
            client.ask("subscribe", channels=["trade", "ticker"])
            client.wait_for_type("ticker")
