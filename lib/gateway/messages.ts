/** What the thread of a program and the gateway's own tell each other. @module */
import type { Denial, Question, Rules, Verdict } from "../policy/index.ts";

/** Of one version of IP, in the namespace. */
export interface FamilySockets {
  /** Everything that leaves leads to these two. */
  tcp: number;
  udp: number;
  /** Sends packets from any address. */
  raw: number;
  /** Sees what begins a connection, before it is let through. */
  passing: number;
}

export interface WaySockets {
  4: FamilySockets;
  6?: FamilySockets;
}

export interface WaySettings {
  rules: Rules | undefined;
  /** Unix sockets that are connected to instead of addresses. */
  handlers: Record<string, string>;
  /** Whatever server is asked for a name, this answers, as the host's do. */
  answersNames: boolean;
  /** Subnets to which nothing is led to a socket. */
  near: readonly string[];
  /** Of connections and flows at a time. */
  maxDescriptors: number;
  limits?: WayLimits;
}

/** Of what goes in and out, payload alone. */
export interface WayLimits {
  /** Bytes a second, into the sandbox and out of it. */
  downBytes?: number;
  upBytes?: number;
  /** What may go at once after a while of quiet. */
  burstBytes?: number;
  /** Of both together, from the beginning. */
  trafficBytes?: number;
}

/** From the beginning. */
export interface Traffic {
  inBytes: number;
  outBytes: number;
  /** All that there was: nothing goes any more. */
  isSpent: boolean;
}

/** Where what comes to a published port is connected to, in the namespace. */
export interface Target {
  address: Uint8Array;
  port: number;
}

export type ToGateway =
  /** @param before what has gone in and out already */
  | { kind: "attach"; way: number; sockets: WaySockets; settings: WaySettings; before?: Traffic | undefined }
  | { kind: "update"; way: number; settings: WaySettings }
  | { kind: "detach"; way: number }
  | { kind: "flush"; way: number }
  | { kind: "answer"; way: number; question: number; verdict: Verdict }
  | { kind: "publish"; port: number; protocol: "tcp" | "udp"; listener: number; target: Target }
  | { kind: "unpublish"; port: number }
  /** Unconnected sockets of the namespace. */
  | { kind: "sockets"; port: number; fds: number[] };

export type FromGateway =
  | { kind: "ready"; waker: number; epoll: number }
  | { kind: "failed"; message: string }
  | { kind: "ask"; way: number; question: number; asked: Question }
  | { kind: "denied"; way: number; denials: Denied[] }
  | { kind: "traffic"; way: number; traffic: Traffic }
  /** What it was told before has been done, and what there was to tell of it has been told. */
  | { kind: "done"; way: number }
  /** A published port needs so many more sockets. */
  | { kind: "wanted"; port: number; count: number };

export type Denied = Denial & { count: number };
