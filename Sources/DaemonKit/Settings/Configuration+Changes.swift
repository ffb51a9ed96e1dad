extension Configuration {
    /// What is different between two configurations, by what it takes for the new value to count.
    public struct Changes: Equatable, Sendable {
        /// Names of settings that count at once, or for connections made from now on.
        public var live: [String] = []
        /// Names of settings whose new value waits for a restart.
        public var needsRestart: [String] = []

        public var isEmpty: Bool { live.isEmpty && needsRestart.isEmpty }
    }

    public static func changes(from old: Configuration, to new: Configuration) -> Changes {
        var changes = Changes()
        for setting in Settings.all where setting.value(in: old) != setting.value(in: new) {
            if setting.effect == .restart {
                changes.needsRestart.append(setting.name)
            } else {
                changes.live.append(setting.name)
            }
        }
        if old.policies != new.policies { changes.live.append("policies") }
        return changes
    }

    /// `self` with the live settings of `new`: what a running broker works with after a reload.
    public func takingLive(from new: Configuration) -> Configuration {
        var result = self
        result.policies = new.policies
        for setting in Settings.all where setting.effect != .restart {
            // A value that was read out of a configuration was accepted before.
            do { try setting.write(setting.value(in: new), &result) } catch {
                assertionFailure("\(setting.name) refuses what it gave")
            }
        }
        return result
    }
}
