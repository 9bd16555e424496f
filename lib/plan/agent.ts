/**
 * What an agent does: a process that has joined a sandbox, and makes the system calls that its owner sends.
 *
 * A plan is data, so a process can be given more of it while it runs. The agent reads requests from its stdin, a stream
 * socket, each a few ops and what they write; walks them; and writes back what came of them.
 *
 * ```
 * request  u64 bytes of ops · u64 bytes of payload · 24 results, as they are before · ops · payload
 * reply    24 results, the first the bytes that follow · so many bytes of the outbox, where it is above 0
 * ```
 * @module
 */
import { ARCH, HEAD_BYTES, named, OP_BYTES, Program, PROGRAM_ADDRESS, ref, SLOTS_AT } from "../../syscalls/index.ts";
import type { Named, Op, Plan, Ref } from "../../syscalls/index.ts";

/** Far from the image, and from where the kernel puts anything by itself. */
const MEMORY = 0x10000000;
const [OPS_BYTES, PAYLOAD_BYTES, OUTBOX_BYTES, HEAD_SIZE] = [65536, 65536, 131072, 16];
const RESULTS = 24;
const FIRST_RESULT = 200;

const ops = named("requested ops", MEMORY);
const payload = named("payload", MEMORY + OPS_BYTES);
const outbox = named("outbox", MEMORY + OPS_BYTES + PAYLOAD_BYTES);
const head = named("head", MEMORY + OPS_BYTES + PAYLOAD_BYTES + OUTBOX_BYTES);
const results = named("results", PROGRAM_ADDRESS + SLOTS_AT + FIRST_RESULT * 8);
const MEMORY_BYTES = OPS_BYTES + PAYLOAD_BYTES + OUTBOX_BYTES + 4096;
/** Index of the first requested op, counted from the program's own. */
const FIRST_OP = (MEMORY - PROGRAM_ADDRESS - HEAD_BYTES) / OP_BYTES;

/** What both sides know; addresses are arguments of requested calls. */
export const AGENT = {
  results: RESULTS,
  firstResult: FIRST_RESULT,
  opsBytes: OPS_BYTES,
  payloadBytes: PAYLOAD_BYTES,
  outboxBytes: OUTBOX_BYTES,
  /** What the request brought along. */
  payload,
  /** A place in it. */
  payloadAt: (offset: number): Named => named(`&payload[${offset}]`, (payload.value as number) + offset),
  /** What goes back. */
  outbox,
  /** A place in the outbox. */
  outboxAt: (offset: number): Named => named(`&outbox[${offset}]`, (outbox.value as number) + offset),
  opsAddress: MEMORY,
};

/** Of a result that no call has given. */
export const ECANCELED = 125;

/** A program as an agent takes it. */
export function requestBytes(program: Program, payload: Uint8Array = new Uint8Array()): Uint8Array {
  const opsAt = HEAD_SIZE + RESULTS * 8;
  const bytes = new Uint8Array(opsAt + program.size + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, program.size, true);
  view.setUint32(8, payload.length, true);
  for (let result = 0; result < RESULTS; result++) view.setBigInt64(HEAD_SIZE + result * 8, BigInt(-ECANCELED), true);
  program.writePart(bytes.subarray(opsAt), new DataView(bytes.buffer, opsAt), MEMORY);
  bytes.set(payload, opsAt + program.size);
  return bytes;
}

/** Ops, laid out, whose first failure ends them. @param reply the agent's label */
export function agentRequest(ops: Op[], reply: number): Program {
  const guarded = ops.map((op): Op => (op.onError === undefined ? { ...op, onError: { jump: reply } } : op));
  const requested: Op[] = [...guarded, { call: "jump", args: [], label: reply }];
  const program = new Program([{ action: "requested", ops: requested }], ARCH, {
    first: FIRST_OP,
    slots: FIRST_RESULT,
  });
  // the first of all results: the bytes that come back
  program.slot("bytes");
  if (program.size > OPS_BYTES) throw new RangeError("agent: the request is too long");
  return program;
}

/** The end of a plan whose stdin is the socket. */
export function agentSteps(): Plan {
  const how = named("MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE", 0x100022);
  const readWrite = named("PROT_READ|PROT_WRITE", 3);
  const signals = { data: new Uint8Array(8).fill(255), text: "all signals" };
  const prepare: Op[] = [
    // a limit of the sandbox's is an errno of the call, and not a signal that ends the agent
    { call: "rt_sigprocmask", args: [named("SIG_SETMASK", 2), signals, 0, 8] },
    { call: "mmap", args: [ops, MEMORY_BYTES, readWrite, how, -1, 0] },
  ];
  return [
    { action: "make room for requests", ops: prepare },
    { action: "make the calls that the owner sends", ops: loop() },
  ];
}

/** A whole piece, or the owner has gone. */
function receive(to: Named, size: number | Ref): Op[] {
  const MSG_WAITALL = named("MSG_WAITALL", 0x100);
  return [
    { call: "recvfrom", args: [0, to, size, MSG_WAITALL, 0, 0], out: "count", onError: { jump: "leave" } },
    { call: "jumpIf", args: [ref("count"), size, named("<", 2)], label: "leave" },
  ];
}

const send = (from: Named, size: number | Ref): Op => ({
  call: "write",
  args: [0, from, size],
  onError: { jump: "leave" },
});

function loop(): Op[] {
  return [
    { call: "label", args: [], label: "next" },
    ...receive(head, HEAD_SIZE),
    { call: "load", args: [head, 8], out: "ops" },
    { call: "load", args: [named("&head[8]", (head.value as number) + 8), 8], out: "payload" },
    ...receive(results, RESULTS * 8),
    ...receive(ops, ref("ops")),
    { call: "jumpIf", args: [ref("payload"), 1, named("<", 2)], label: FIRST_OP },
    ...receive(payload, ref("payload")),
    { call: "jump", args: [], label: FIRST_OP },
    { call: "label", args: [], label: "reply" },
    send(results, RESULTS * 8),
    { call: "load", args: [results, 8], out: "bytes" },
    { call: "jumpIf", args: [ref("bytes"), 1, named("<", 2)], label: "next" },
    send(outbox, ref("bytes")),
    { call: "jump", args: [], label: "next" },
    { call: "label", args: [], label: "leave" },
    { call: "exit_group", args: [0] },
  ];
}
