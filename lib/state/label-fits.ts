/** Labels, as filters mean them. @module */

/** @param wanted `"name"`, or `"name=value"` */
export function labelFits(labels: Record<string, string>, wanted: string): boolean {
  const equals = wanted.indexOf("=");
  if (equals < 0) return Object.hasOwn(labels, wanted);
  const name = wanted.slice(0, equals);
  return Object.hasOwn(labels, name) && labels[name] === wanted.slice(equals + 1);
}
