"""Deliberate faults, each of which the simulator must find. `scripts/mutate` puts them into a copy of the source.

A fault is a place in a file and what stands there instead; MUTANT is true when that fault is switched on. A place that
is not found exactly once is an error: the list goes with the source.
"""
from collections import namedtuple

Mutation = namedtuple("Mutation", "name file old new seeds more")

LOG, CORE, SESSIONS = "Sources/LogStorage/", "Sources/BrokerCore/", "Sources/Sessions/"

MUTATIONS = []


def mutation(name, file, old, new, seeds=300, more=()):
    """`seeds`: within so many the simulator must find it. `more`: further places, where several things guard the same."""
    MUTATIONS.append(Mutation(name, file, old, new, seeds, more))


# What is confirmed is on disk

mutation(
    "a commit is not synced", LOG + "JournalWriter.swift",
    "if isSynced { try segment.file.syncData() }",
    "if isSynced, !MUTANT { try segment.file.syncData() }")
mutation(
    "a failed sync of the journal is tried again", LOG + "JournalWriter.swift",
    '            throw StorageFailure("the journal cannot be written: \\(error)")\n',
    "            guard MUTANT, isSynced else { throw StorageFailure(\"the journal cannot be written: \\(error)\") }\n"
    "            do throws(DiskError) { try segment.file.syncData() } catch { throw StorageFailure(\"\\(error)\") }\n")
mutation(
    "a receipt does not wait for the disk", SESSIONS + "Session.swift",
    "staged.readable, after: lastBatch, durable",
    "staged.readable, after: MUTANT ? 0 : lastBatch, durable")
mutation(
    "a receipt waits for its own frame only", SESSIONS + "Session.swift",
    "        lastBatch = max(lastBatch, required)\n",
    "        lastBatch = MUTANT ? required : max(lastBatch, required)\n", seeds=2000)
mutation(
    "a message is shown before it is on disk", CORE + "QueueState.swift",
    "return window[0].batch <= durable ? .window : .none",
    "return MUTANT || window[0].batch <= durable ? .window : .none")
mutation(
    "a write for which there is no room counts as done", LOG + "JournalWriter.swift",
    "if bytes > 0 { try segment.file.write(pieces, at: offset - bytes) }",
    "if bytes > 0 { do throws(DiskError) { try segment.file.write(pieces, at: offset - bytes) } catch { "
    "if !MUTANT { throw error } } }")
mutation(
    "a duplicate is confirmed before the first is on disk", CORE + "Core+Dedup.swift",
    "requiredBatch = max(requiredBatch,",
    "requiredBatch = MUTANT ? requiredBatch : max(requiredBatch,", seeds=2000)

# The journal

mutation(
    "what an earlier use of a segment left is taken for batches: no salt, no number of the segment, no sequence",
    LOG + "SegmentFormat.swift",
    "var seed: UInt32 { Checksum.seed(salt, UInt64(number), storeID) }",
    "var seed: UInt32 { MUTANT ? Checksum.seed(0, 0, storeID) : Checksum.seed(salt, UInt64(number), storeID) }",
    seeds=2000,
    more=((LOG + "SegmentFormat.swift", "header.get32(0) == Self.magic, header.get32(24) == segment else",
           "header.get32(0) == Self.magic, MUTANT || header.get32(24) == segment else"),
          (LOG + "Replay.swift", "while let batch = try nextHeader(), batch.sequence == sequence, try",
           "while let batch = try nextHeader(), MUTANT || batch.sequence == sequence, try")))
mutation(
    "a batch says of itself that it is on disk", LOG + "JournalWriter.swift",
    "        var header = BatchHeader(\n            sequence: sequence, durable: durable, segment: segment.number, "
    "offset: offset,\n            recordCount",
    "        var header = BatchHeader(\n            sequence: sequence, durable: MUTANT ? sequence : durable, segment: "
    "segment.number, offset: offset,\n            recordCount")
mutation(
    "corruption is taken for a torn tail", LOG + "Replay.swift",
    "if known >= sequence {", "if !MUTANT, known >= sequence {")
mutation(
    "the payload of a batch is not checked at a start", LOG + "SegmentReader.swift",
    "if try sum(payload + Int(record.offset), Int(record.bytes)) != checksum { return nil }",
    "if !MUTANT, try sum(payload + Int(record.offset), Int(record.bytes)) != checksum { return nil }", seeds=2000)
mutation(
    "the records of a batch are not checked at a start", LOG + "SegmentReader.swift",
    "return Checksum.of(bytes, seed: seed) == batch.recordsChecksum ? bytes : nil",
    "return MUTANT || Checksum.of(bytes, seed: seed) == batch.recordsChecksum ? bytes : nil", seeds=2000)
mutation(
    "a torn tail is not cleared", LOG + "Mending.swift",
    "            try clear(torn)", "            if !MUTANT { try clear(torn) }", seeds=2000)
mutation(
    "the last commit is not written again at a start", LOG + "Mending.swift",
    "        try writeAgain()\n    }", "        if !MUTANT { try writeAgain() }\n    }")
mutation(
    "a new segment is used before its name is on disk", LOG + "SegmentFactory.swift",
    "        try disk.syncDirectory(StorePath.journal)\n",
    "        if !MUTANT { try disk.syncDirectory(StorePath.journal) }\n")
mutation(
    "the header of a segment is not synced", LOG + "SegmentFactory.swift",
    "        try file.sync()\n        let final", "        if !MUTANT { try file.sync() }\n        let final")

# Checkpoints and queue files

mutation(
    "a segment is given up before the checkpoint is written", LOG + "Keeper.swift",
    "                try checkpoint(store)\n                try tidy(store)\n                try makeReady",
    "                if MUTANT { try tidy(store) }\n                try checkpoint(store)\n                try tidy(store)\n"
    "                try makeReady")
mutation(
    "a checkpoint is renamed before it is synced", LOG + "Disk.swift",
    "            try file.write(bytes, at: 0)\n            try file.sync()\n",
    "            try file.write(bytes, at: 0)\n            if !MUTANT { try file.sync() }\n")
mutation(
    "the name of a checkpoint is not synced", LOG + "Disk.swift",
    "        try rename(draft, to: path)\n        try syncDirectory(\"\")",
    "        try rename(draft, to: path)\n        if !MUTANT { try syncDirectory(\"\") }")
mutation(
    "a checkpoint forgets an ACK", LOG + "Checkpoint.swift",
    "        queue.settled.forEachPage { pages.append(($0, $1)) }\n",
    "        queue.settled.forEachPage { pages.append(($0, $1)) }\n        if MUTANT { pages = [] }\n")
mutation(
    "how often messages came back is not read from a checkpoint", LOG + "Checkpoint.swift",
    "            queue.attempts[sequence] = attempt\n",
    "            if !MUTANT { queue.attempts[sequence] = attempt }\n", seeds=2000)
mutation(
    "what was sent is not read from a checkpoint", LOG + "Checkpoint.swift",
    "        queue.remembered = remembered\n", "        if !MUTANT { queue.remembered = remembered }\n", seeds=2000)
mutation(
    "queue files are not synced", LOG + "Filer.swift",
    "    mutating func sync() throws(DiskError) {\n",
    "    mutating func sync() throws(DiskError) {\n        if MUTANT { unsynced.removeAll() }\n")
mutation(
    "directories of queue files are not synced", LOG + "Filer.swift",
    "        for queue in directories.sorted() { try disk.syncDirectory",
    "        for queue in directories.sorted() where !MUTANT { try disk.syncDirectory")
mutation(
    "what is alive in a segment is not moved", LOG + "Filer.swift",
    "            if !settled.contains(sequence) { messages.append((sequence, place)) }",
    "            if !settled.contains(sequence), !MUTANT || sequence % 7 != 3 { messages.append((sequence, place)) }")
mutation(
    "a file is removed when its first message is settled", LOG + "Filer.swift",
    "let gone = files.filter { settled.firstLive(from: $0.first) > $0.last }",
    "let gone = files.filter { settled.firstLive(from: $0.first) > (MUTANT ? $0.first : $0.last) }")
mutation(
    "what is read is not checked", LOG + "PageReader.swift",
    "guard Checksum.of(content) == head.checksum else {", "guard MUTANT || Checksum.of(content) == head.checksum else {")
mutation(
    "what was read ahead is taken for another segment", LOG + "PageReader.swift",
    "        defer { window.forget() }\n", "        defer { if !MUTANT { window.forget() } }\n", seeds=2000)
mutation(
    "settled bytes are not subtracted", LOG + "Ledger.swift",
    "liveBytes = left == 0 ? 0 : liveBytes - min(liveBytes, bytes)",
    "liveBytes = left == 0 ? 0 : liveBytes - min(liveBytes, MUTANT ? 0 : bytes)")

# Core and sessions

mutation(
    "a transaction is written in two batches", CORE + "Core+Transaction.swift",
    "        for held in transaction.sends {\n            switch held.target {",
    "        for held in transaction.sends {\n            if MUTANT { seal(into: &effects) }\n"
    "            switch held.target {", seeds=2000)
mutation(
    "the ACKs of a transaction take place without COMMIT", CORE + "Core+Transaction.swift",
    "            end(number, of: Int(consumer), commit: false, touched: &touched, into: &effects)",
    "            end(number, of: Int(consumer), commit: MUTANT, touched: &touched, into: &effects)")
mutation(
    "a dead letter moves in two batches", CORE + "Core+Return.swift",
    "        append(slice, offset: offset, headerBytes: movedHead, flags: MessageFlags.durable, to: target)\n",
    "        if MUTANT { forget(dead, in: lane); seal(into: &effects); return true }\n"
    "        append(slice, offset: offset, headerBytes: movedHead, flags: MessageFlags.durable, to: target)\n")
mutation(
    "a refused delivery is not written down", CORE + "Core+Return.swift",
    "        if queues[lane].isStored { note(attempt, of: delivery.sequence, in: lane) }",
    "        if queues[lane].isStored, !MUTANT { note(attempt, of: delivery.sequence, in: lane) }", seeds=2000)
mutation(
    "ack:client covers one message too few", CORE + "Core+Deliver.swift",
    "        for position in first...at\n        where",
    "        for position in (MUTANT ? min(first + 1, at) : first)...at\n        where")
mutation(
    "what a lost client held is not given back", CORE + "Core+Subscribe.swift",
    "            finish(position, of: at, .lost, held: true, into: &effects)",
    "            if !MUTANT { finish(position, of: at, .lost, held: true, into: &effects) }")
mutation(
    "a delivery that comes back is not counted", CORE + "Core+Return.swift",
    "sequence: delivery.sequence, bytes: delivery.bytes, count: delivery.count,\n            headerBytes",
    "sequence: delivery.sequence, bytes: delivery.bytes, count: MUTANT ? 0 : delivery.count,\n            headerBytes")
mutation(
    "a delayed message comes early", CORE + "Core+Delay.swift",
    "let isDue = stamps.deliverAt <= now.wall", "let isDue = stamps.deliverAt <= now.wall + (MUTANT ? 5000 : 0)")
mutation(
    "a message is delivered after its end", CORE + "Core+Expiry.swift",
    "return end > 0 && end <= now.wall", "return end > 0 && end + (MUTANT ? 20_000 : 0) <= now.wall")
mutation(
    "a dedup-id is not looked for", CORE + "Core+Dedup.swift",
    "guard let hash, duplicates.windowCount > 0 else { return false }",
    "guard !MUTANT, let hash, duplicates.windowCount > 0 else { return false }")
mutation(
    "ids are not remembered over a restart", CORE + "Core+Dedup.swift",
    "        for id in ids {\n            duplicates.append(",
    "        for id in ids where !MUTANT {\n            duplicates.append(")
mutation(
    "durable subscriptions are forgotten at a restart", CORE + "Core.swift",
    "            bind(index)\n", "            if !MUTANT { bind(index) }\n")
mutation(
    "a durable subscription misses a message", CORE + "Core+Topics.swift",
    "        try distribute(message, to: index, recipients, into: &effects)\n        if let due",
    "        try distribute(message, to: index, MUTANT ? Array(recipients.dropFirst()) : recipients, into: &effects)\n"
    "        if let due")
mutation(
    "new messages overtake older ones", CORE + "QueueState.swift",
    "guard let entry = window.popFirst() else { return nil }",
    "guard let entry = MUTANT && window.count > 1 && window[1].batch == window[0].batch ? "
    "{ let first = window.popFirst(); let second = window.popFirst(); "
    "if let first { window.prepend(first) }; return second }() : window.popFirst() else { return nil }")
