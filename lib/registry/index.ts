/** Registries: manifests and blobs of others, and credentials for them. @module */
export type { FetchedManifest } from "./answers.ts";
export type { Credentials } from "./authorizer.ts";
export { CredentialFiles } from "./credentials.ts";
export { CredentialHelper } from "./credential-helper.ts";
export type { Times } from "./exchange.ts";
export { AnswerError } from "./failure.ts";
export type { HostOptions } from "./hosts.ts";
export { login, logout, parseDomain, type LoginOptions } from "./login.ts";
export type { Patience } from "./patience.ts";
export { Registry, type BlobOptions, type RegistryOptions, type UploadOptions } from "./registry.ts";
