/** The scanner of this library's own archives. @module */
import { createTarScanner, type TarScanner } from "../../wasm/index.ts";

let scanner: TarScanner | undefined;

/** Made when an archive is first read or written: a command line without one need not wait for it (measured: 0.8 ms). */
export const tarScanner = (): TarScanner => (scanner ??= createTarScanner());
