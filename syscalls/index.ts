/** The kernel as TypeScript sees it. @module */
export * from "./bpf.ts";
export * from "./bytes.ts";
export * from "./calls.ts";
export * from "./directory.ts";
export * from "./error.ts";
export * from "./errno.ts";
export * from "./files.ts";
export * from "./image.ts";
export * from "./kernel.ts";
export * from "./netlink.ts";
export * from "./program.ts";
export * from "./signals.ts";
export * from "./structs.ts";
export * from "./walker.ts";
export { ARCH, numberOf, SYSCALLS, type Arch, type SyscallName } from "./numbers.ts";
export { runtime, type Receiver } from "./ffi/index.ts";
