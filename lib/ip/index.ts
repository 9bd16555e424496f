/** Addresses of IP. @module */
export * from "./address.ts";
