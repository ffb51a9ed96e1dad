import Net

/// The admin interface, on the loop at the front door.
extension Service {
    func openAdmin(_ addresses: [SocketAddress]) throws(StartFailure) -> [Listener] {
        var limits = ListenerLimits()
        limits.maxConnections = 64
        let backend = BrokerBackend(self)
        var opened: [Listener] = []
        for address in addresses {
            opened.append(
                try listen(address, [frontDoor], limits) { [log] connection in
                    AdminHandler(on: connection, backend: backend) { event in
                        log.info(
                            "admin",
                            [
                                "peer": .text(event.peer), "method": .text(event.method), "target": .text(event.target),
                                "status": .number(event.status),
                            ])
                    }
                })
        }
        return opened
    }
}
