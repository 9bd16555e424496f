/** Single labels that a template asks for: `.Label "com.example.tier"`. Each becomes a column of its own. @module */
const LABEL = /\.Label\s+(?:"([^"\\]*)"|`([^`]*)`)/g;

export interface LabelColumns {
  /** With those columns instead. */
  format: string | undefined;
  /** Label by column. */
  labels: ReadonlyMap<string, string>;
  /** Title by column. */
  titles: Record<string, string>;
}

export function labelColumns(format: string | undefined): LabelColumns {
  const labels = new Map<string, string>();
  const plain = format?.replaceAll(LABEL, (_, quoted?: string, raw?: string) => {
    const label = quoted ?? raw ?? "";
    const field = `Label_${Buffer.from(label).toString("hex")}`;
    labels.set(field, label);
    return `.${field}`;
  });
  const titles = Object.fromEntries([...labels].map(([field, label]) => [field, titleOf(label)]));
  return { format: plain, labels, titles };
}

/** Their cells, of what has these labels. */
export const labelCells = (
  columns: LabelColumns["labels"],
  labels: Readonly<Record<string, string>>,
): Record<string, string> =>
  Object.fromEntries(
    [...columns].map(([field, label]) => [field, Object.hasOwn(labels, label) ? (labels[label] ?? "") : ""]),
  );

/** `com.example.my-tier`: `my tier` */
const titleOf = (label: string) => label.slice(label.lastIndexOf(".") + 1).replaceAll(/[-_]/g, " ");
