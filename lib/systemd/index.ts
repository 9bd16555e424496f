/** systemd over D-Bus. @module */
export { Manager, property, type Property } from "./manager.ts";
export { Malformed, type Value, type Variant } from "./signature.ts";
