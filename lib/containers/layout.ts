/**
 * The directory of a container.
 *
 * ```
 * ROOT/containers/ID/  0700
 *   record.json   a copy of the record's unchanging part, for when the database is lost
 *   lock          held (flock) by who changes the container
 *   commit        held (flock) by who has paused it to make an image of it
 *   alive         a FIFO that the supervisor has open for writing: without a writer, it has ended
 *   pidfd.sock    who connects gets a pidfd of init
 *   stdin.sock    who connects gets the end of stdin that is written to, or of the terminal
 *   spec.json     the OCI specification that it runs by, for processes that join
 *   decide        is there where tsbox is to be asked once it has ended
 *   wake          a FIFO that who waits for a restart reads: a byte calls it off
 *   exec-ID       how what was executed in the background ended (`exec-end.ts`)
 *   traffic       what has gone in and out by its policy: two u64, little-endian (`traffic-file.ts`)
 *   exit          how it ended (`exit-file.ts`)
 *   log, log.1 …  what it wrote (`log-format.ts`), the newest first
 *   layer/        what it has written over its image: `upper` and `work`
 *   hosts, hostname, resolv.conf
 * ```
 * @module
 */
export const CONTAINERS = "containers";
export const ALIVE = "alive";
export const PIDFD_SOCKET = "pidfd.sock";
export const STDIN_SOCKET = "stdin.sock";
export const SPEC = "spec.json";
export const RECORD = "record.json";
export const LOCK = "lock";
export const COMMIT = "commit";
export const DECIDE = "decide";
export const WAKE = "wake";
export const EXIT = "exit";
export const TRAFFIC = "traffic";
export const TRAFFIC_BYTES = 16;
export const LOG = "log";
/** Whoever follows the log has read all: its file may be replaced by the next, once. */
export const LOG_TURN = "log-turn";
export const LAYER = "layer";

/**
 * A record of the log, little-endian, behind each other:
 *
 * ```
 * i64 seconds · i64 nanoseconds (CLOCK_REALTIME) · u32 length · u32 stream (1 stdout, 2 stderr) · the bytes
 * ```
 *
 * One is what one read(2) gave, at most {@link LOG_CHUNK} bytes; lines may be cut anywhere. What a terminal shows is
 * stdout. A file that is cut short ends with a record that is not whole.
 */
export const LOG_HEADER = 24;
export const LOG_CHUNK = 65536;
/**
 * The exit file: the exit frame of `lib/plan/frame.ts` (152 bytes; tag 0 where init was killed and told nothing),
 * `i64 seconds · i64 nanoseconds` when, `u64` which limit was exceeded (`EXCEEDED` of `lib/plan/supervisor.ts`), and what `memory.events` or `memory.oom_control` of the cgroup said then, up to
 * 512 bytes, padded with 0.
 */
export const EXIT_BYTES = 152 + 16 + 8 + 512;
