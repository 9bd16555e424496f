/** Networks as the kernel has them: addresses, devices, packet filters. @module */
export * from "./address.ts";
export { checkDevice, Links, type Link, type LinkAddress, type LinkChange } from "./links.ts";
export { inNetwork } from "./namespace.ts";
export * from "./nftables.ts";
