/**
 * Which ports of this machine a container gets. They are reserved by sockets that nobody listens at: the packet filter
 * passes on what comes, and no other program can have them meanwhile.
 * @module
 * @see proc_pid_net(5)
 */
import { bindPort, close, errnoName, portOf, portOwner, systemError, TsboxError } from "../../syscalls/index.ts";
import { bracketed, bytesOfAddress, parseAddress, type WantedPort } from "../ip/index.ts";
import type { Port } from "./record.ts";

const [EACCES, EADDRINUSE] = [13, 98];
/** The kernel has no such protocol, or no such family: then nobody else has the port either. */
const NONE = new Set([93, 94, 97]);
const ANY = { 4: "0.0.0.0", 6: "::" };

export interface Reservation extends Disposable {
  ports: Port[];
  /** Sockets, which are to be open as long as the ports are the container's. */
  sockets: number[];
}

/**
 * @param families that the container has addresses of @param isListening programs take connections there
 * @throws TsboxError `limit_unavailable`: Docker's words, and who has the port
 */
export function reservePorts(
  wanted: readonly WantedPort[],
  families: readonly (4 | 6)[],
  isListening = false,
): Reservation {
  const sockets: number[] = [];
  const release = () => sockets.splice(0).forEach(close);
  try {
    const ports = wanted.map((each) => reserve(each, families, sockets, isListening));
    return { ports, sockets, [Symbol.dispose]: release };
  } catch (error) {
    release();
    throw error;
  }
}

function reserve(wanted: WantedPort, families: readonly (4 | 6)[], sockets: number[], isListening: boolean): Port {
  const { protocol, host, hostPort = 0, hostPortEnd = hostPort, containerPort } = wanted;
  const common = { protocol, ...(host === undefined ? {} : { host }), containerPort };
  const addresses = host === undefined ? families.map((family) => ANY[family]) : [host];
  // one that is free for one family may be taken for the other
  const tries = hostPort === 0 ? 20 : hostPortEnd - hostPort + 1;
  let failure: TsboxError | undefined;
  for (let turn = 0; turn < tries; turn++) {
    const own: number[] = [];
    let port = hostPort === 0 ? 0 : hostPort + turn;
    failure = undefined;
    for (const address of addresses) {
      const fd = bindPort(protocol, bytesOfAddress(parseAddress(address)), port, isListening);
      if (fd >= 0) {
        own.push(fd);
        if (port === 0) port = portOf(fd);
      } else if (!NONE.has(-fd)) {
        failure = taken(protocol, address, port, -fd);
        break;
      }
    }
    if (!failure && port !== 0) {
      sockets.push(...own);
      return { ...common, hostPort: port };
    }
    own.forEach(close);
  }
  throw failure ?? taken(protocol, addresses[0] ?? ANY[4], hostPort, EADDRINUSE);
}

function taken(protocol: Port["protocol"], address: string, port: number, errno: number): TsboxError {
  const at = `${bracketed(address)}:${port}`;
  if (errno === EACCES)
    return new TsboxError(`publish ${at}/${protocol}: permission denied`, {
      code: "permission_denied",
      errno,
      syscall: "bind",
      hint: "ports below net.ipv4.ip_unprivileged_port_start (1024) are root's",
    });
  if (errno !== EADDRINUSE) return systemError(`publish ${at}/${protocol}`, "bind", errno, "limit_unavailable");
  const owner = portOwner(protocol, port);
  return new TsboxError(`Bind for ${at} failed: port is already allocated`, {
    code: "limit_unavailable",
    errno,
    syscall: "bind",
    hint: owner === undefined ? `${errnoName(errno)}: another container or program has it` : `${owner} has it`,
  });
}
