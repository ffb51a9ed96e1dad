import Glibc

// The few socket calls that need casts, in one place.

/// A non-blocking socket that no child process inherits, or the error number.
func makeSocket(_ family: Int32) -> Result<Int32, SystemError> {
    let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    let descriptor = socket(family, type, 0)
    return descriptor < 0 ? .failure(SystemError(number: errno)) : .success(descriptor)
}

struct SystemError: Error {
    let number: Int32
}

@discardableResult
func setOption(_ descriptor: Int32, _ level: Int32, _ option: Int32, _ value: Int32) -> Bool {
    var value = value
    return setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size)) == 0
}

/// What every TCP connection gets. Set on a listening socket, its connections inherit it, which saves
/// five calls for each. A peer that vanished is noticed after 60 s + 4 x 15 s of silence.
func setConnectionOptions(_ descriptor: Int32) {
    let tcp = Int32(IPPROTO_TCP)
    setOption(descriptor, tcp, TCP_NODELAY, 1)
    setOption(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1)
    setOption(descriptor, tcp, TCP_KEEPIDLE, 60)
    setOption(descriptor, tcp, TCP_KEEPINTVL, 15)
    setOption(descriptor, tcp, TCP_KEEPCNT, 4)
}

/// The coming close sends RST and forgets what the kernel still had to send.
func resetOnClose(_ descriptor: Int32) {
    var option = linger(l_onoff: 1, l_linger: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
}

/// The error that a socket has waiting, 0 for none.
func pendingError(_ descriptor: Int32) -> Int32 {
    var error: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    guard getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size) == 0 else { return errno }
    return error
}
