import Base

/// Lanes of queues come and go.
extension Core {
    /// Where a message for the queue at `index` goes: by when it is due, its group, its priority.
    func laneKind(priority: UInt8, group: [UInt8], due: UInt64) -> Lane {
        if due > now.wall { return .delayed(DelayBucket.holding(due: due, now: now.wall)) }
        if !group.isEmpty { return Lane.ofGroup(group) }
        return priority == Lane.usualPriority ? .main : .priority(min(priority, 9))
    }

    /// The lane of that kind; made, on disk too, if there is none.
    mutating func lane(_ kind: Lane, of index: Int, into effects: inout Effects) throws(Refusal) -> Int {
        if kind == .main { return index }
        if let lane = queues[index].rare.laneByKind[kind] { return Int(lane) }
        guard laneCount < limits.lanes, nextQueueID < .max else {
            throw Refusal(
                .tooManyQueues,
                "the broker keeps its limit of \(limits.lanes) priorities, groups and times of delivery over all queues"
            )
        }
        let id = QueueID(rawValue: nextQueueID)
        nextQueueID += 1
        let name = queues[index].name + [Lane.separator] + Array(kind.suffix.utf8)
        let lane = placeLane(kind, id: id, name: name, of: index)
        let (_, offset) = name.withUnsafeBufferPointer { keep($0) }
        records.append(Record(kind: .createQueue, queue: id, bytes: UInt64(name.count), offset: offset))
        return lane
    }

    mutating func placeLane(_ kind: Lane, id: QueueID, name: [UInt8], of index: Int) -> Int {
        let lane = placeQueue(id: id, name: name, kind: .stored, lane: kind, parent: Int32(index))
        queues[index].rare.laneByKind[kind] = Int32(lane)
        laneCount += 1
        if queues[lane].isServed {
            if queues[index].rare.lanes.isEmpty { queues[index].rare.lanes = [Int32(index)] }
            let rank = kind.rank
            let at =
                queues[index].rare.lanes.firstIndex { queues[Int($0)].lane.rank < rank }
                ?? queues[index].rare.lanes.count
            queues[index].rare.lanes.insert(Int32(lane), at: at)
            if queues[lane].isGroup { queues[index].rare.groupLanes += 1 }
            if !queues[index].rare.selectors.isEmpty {
                queues[lane].rare.views = queues[index].rare.selectors.map { _ in LaneView() }
                queues[lane].returned.isIndexed = true
            }
        }
        if case .delayed(let bucket) = kind { arm(lane, at: bucket.start) }
        return lane
    }

    /// An empty lane goes.
    mutating func deleteLane(_ lane: Int) {
        records.append(Record(kind: .deleteQueue, queue: queues[lane].id))
        takeOff(lane)
    }

    private mutating func takeOff(_ lane: Int) {
        let index = Int(queues[lane].parent)
        release(lane)
        queues[index].rare.laneByKind[queues[lane].lane] = nil
        queues[index].rare.lanes.removeAll { $0 == Int32(lane) }
        if queues[index].rare.lanes.count == 1 { queues[index].rare.lanes = [] }
        if queues[lane].isGroup { queues[index].rare.groupLanes -= 1 }
        laneCount -= 1
        removeQueue(lane)
    }

    /// The queue goes, and its lanes with it.
    mutating func deleteLanes(of index: Int) {
        for lane in queues[index].rare.laneByKind.values.sorted() { deleteLane(Int(lane)) }
    }

    /// The queue itself and all its lanes.
    func allLanes(of index: Int) -> [Int] {
        [index] + queues[index].rare.laneByKind.values.map { Int($0) }.sorted()
    }
}

extension QueueState {
    @inline(__always) var isGroup: Bool {
        if case .group = lane { return true }
        return false
    }
    @inline(__always) var isDelayed: Bool {
        if case .delayed = lane { return true }
        return false
    }
    /// Consumers get what is in it.
    var isServed: Bool {
        switch lane {
        case .main, .priority, .group: true
        case .delayed, .retained: false
        }
    }
}
