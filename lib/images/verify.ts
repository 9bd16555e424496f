/** Whether small blobs, which are held in memory, are what their descriptor says. @module */
import { algorithmOf, digestOf, type Descriptor } from "../image/index.ts";
import { TsboxError } from "../../syscalls/index.ts";

/** @throws TsboxError `image_invalid` for another size, `digest_mismatch` */
export function checkBytes(bytes: Uint8Array, { digest, size }: Descriptor, what: string): void {
  if (bytes.length !== size)
    throw new TsboxError(`read ${what} ${digest}: it has ${bytes.length} bytes, not the ${size} that were announced`, {
      code: "image_invalid",
    });
  const found = digestOf(bytes, algorithmOf(digest));
  if (found !== digest)
    throw new TsboxError(`read ${what} ${digest}: its digest is ${found}`, { code: "digest_mismatch" });
}
