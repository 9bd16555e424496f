/** `--platform` of verbs that work on what is here. @module */
import { formatPlatform, parsePlatform, platformMatches } from "../../image/index.ts";
import type { Images } from "../../images/index.ts";
import { TsboxError } from "../../index.ts";

/** @throws TsboxError `platform_not_found`, `image_not_found` */
export async function checkPlatform(images: Images, name: string, platform: string | undefined): Promise<void> {
  if (platform === undefined) return;
  const wanted = parsePlatform(platform);
  const { Os: os, Architecture: architecture, Variant: variant } = await images.inspect(name);
  const has = { os, architecture, ...(variant === undefined ? {} : { variant }) };
  if (platformMatches(has, wanted)) return;
  throw new TsboxError(`use the image ${JSON.stringify(name)}: it is for ${formatPlatform(has)}`, {
    code: "platform_not_found",
    hint: `pull the other one: tsbox pull --platform ${formatPlatform(wanted)} ${name}`,
  });
}
