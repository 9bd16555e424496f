/** Who is told of what becomes of networks: whoever answers for their names. @module */
import type { NetworkRecord } from "./record.ts";

/** Sockets at which a network's containers ask for names, bound and listening. */
export interface NameSockets {
  udp: number[];
  tcp: number[];
}

/** It is told while the networks are locked, and nobody waits for what it does then. */
export interface Watcher {
  /**
   * A network stands, and a container is about to be plugged in.
   * @param isNew it did not stand before @param open makes sockets, which are the watcher's then
   */
  raised(network: NetworkRecord, isNew: boolean, open: () => NameSockets): void;
  /** Containers have gone. */
  changed(): void;
}
