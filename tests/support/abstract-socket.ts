/** Sockets of the abstract namespace, which JavaScript's servers cannot have. @module */
import { mapArena, syscall, unmapArena } from "../../syscalls/index.ts";

/** bind(2) and listen(2) on memory that does not move. */
export function bindAbstract(fd: number, address: Uint8Array, length: number): void {
  const arena = mapArena(4096);
  arena.bytes.set(address);
  syscall("bind a socket", "bind", fd, arena.address, length);
  syscall("listen on a socket", "listen", fd, 5);
  unmapArena(arena);
}
