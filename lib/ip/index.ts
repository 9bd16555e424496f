/** Addresses of IP, and ports. @module */
export * from "./address.ts";
export * from "./ports.ts";
