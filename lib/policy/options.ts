/** What a sandbox may connect to, as callers say it. @module */

/** Somebody inside wants to connect, or to know where a name leads. */
export interface Connection {
  /** `"dns"`: the name is asked for, and nothing is connected yet. */
  protocol: "tcp" | "udp" | "dns";
  /**
   * The name for which a resolver has answered with the address; undefined where nobody inside has asked for any. An
   * address that several names lead to is asked about with each of them, the latest first, until one is allowed.
   */
  host: string | undefined;
  /** Undefined for `"dns"`. */
  ip: string | undefined;
  /** 53 for `"dns"`. */
  port: number;
}

/** Whether a connection is made. Throwing denies, and so does taking longer than ten seconds. */
export type ConnectHandler = (connection: Connection) => boolean | Promise<boolean>;
/** Answers requests, instead of a server. */
export type HostHandler = (request: Request) => Response | Promise<Response>;

/**
 * What is said here, all of it, has to let a connection pass; where nothing is said, everything public can be connected
 * to. Never by a list that is wider than they are: the host's own addresses, private and link-local ones, metadata.
 */
export interface NetworkPolicy {
  /**
   * All that can be connected to: `"packages.example.com"`, `"*.example.com:443"` (names below it, not itself),
   * `"10.0.0.0/8"`, `"192.0.2.7:53/udp"`, `"[2001:db8::/32]:8000-8999/tcp"`, `"*:443"`. What is not public has to be
   * named by an address, or a network within it: `"10.1.0.0/16"`, not `"0.0.0.0/0"`.
   */
  allow?: readonly string[];
  /** Of that, what cannot; the same words. */
  deny?: readonly string[];
  /** Asked about what the lists let pass, names included. */
  connect?: ConnectHandler;
  /** Names that lead to a function of this program: `{ "api.internal": (request) => Response.json({}) }`. Plain HTTP. */
  hosts?: Readonly<Record<string, HostHandler>>;
}
