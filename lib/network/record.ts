/** What is known of a network: a row of the database. @module */
import type { PortRange } from "../ip/index.ts";
import type { Ipvlan } from "../netlink/index.ts";
import type { Protocol } from "./firewall.ts";

/** Of one family, as texts. */
export interface NetworkSubnet {
  /** `"172.18.0.0/16"` */
  subnet: string;
  gateway: string;
  /** Containers get theirs from here; default: anywhere in the subnet. */
  range?: string;
  /** Addresses that nobody gets, by what they are for. */
  reserved?: Record<string, string>;
}

/** A port of a container, as the machine has it. */
export interface Port {
  protocol: Protocol;
  /** Default: all addresses, of both families. */
  host?: string;
  hostPort: number;
  containerPort: number;
}

/** Bytes a second of IP packets; undefined: as fast as can be. */
export interface Bandwidth {
  /** To it. */
  downBytes?: number;
  /** From it. */
  upBytes?: number;
  /** What may go at once after a while of quiet. */
  burstBytes?: number;
}

/** A container in a network, as long as it runs; written down before anything of it is made. */
export interface Endpoint {
  /** Its id. */
  container: string;
  /** It is a sandbox of a program, and no container. */
  box?: true;
  name: string;
  /** What it is called besides. */
  aliases: string[];
  /** The host's end of its cable. */
  device: string;
  /** Its own. */
  inside: string;
  /** Empty where it is that of the device of the host. */
  mac: string;
  /** With the lengths of their prefixes: `"172.18.0.2/16"`, at most one of each family. */
  addresses: string[];
  ports: Port[];
  /** What it says that it listens at, published or not: the first of them, for those who look. */
  exposed?: readonly PortRange[];
  bandwidth?: Bandwidth;
  /** A process of its own, where the bridges may go before the container does. */
  pid?: number;
}

/** All but a bridge are at a device of the host: addresses of containers are those of its own network. */
export type NetworkDriver = "bridge" | "macvlan" | "ipvlan";

export interface NetworkRecord {
  version: 1;
  /** 64 hexadecimal digits. */
  id: string;
  name: string;
  /** Milliseconds since 1970. */
  created: number;
  driver: NetworkDriver;
  /** The bridge; or the device of the host that those of containers are at. */
  device: string;
  subnets: NetworkSubnet[];
  ipv6: boolean;
  /** Nothing leads out of it. */
  internal: boolean;
  /** Other networks, and other machines, reach published ports only. */
  isolated: boolean;
  /** Its containers do not reach each other, but by published ports. */
  apart?: true;
  mtu?: number;
  ipvlan?: Ipvlan;
  /** Where ports are published that name no address of the machine. */
  hostBinding?: string;
  /** Whoever answers for names here had to be at another port, once. */
  namesElsewhere?: true;
  labels: Record<string, string>;
  /** As they were given. */
  options: Record<string, string>;
  /** By the ids of containers. */
  endpoints: Record<string, Endpoint>;
  /** The last addresses that were given away: the next ones are sought behind them. */
  last: Record<string, string>;
  /** With the lengths of their prefixes: of those that have ended, what connection tracking remembers of them is there yet. */
  remembered?: string[];
}
