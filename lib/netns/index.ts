/** Network namespaces of this user's, from outside. @module */
export { NetworkNamespace } from "./namespace.ts";
