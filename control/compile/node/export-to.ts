/** Istio's exportTo: `*`, `.` (the resource's namespace), `~` (none) or namespaces; absent: everywhere. */
export function exportedTo(exportTo: readonly string[], from: string, to: string): boolean {
  if (exportTo.length === 0) return true;
  return exportTo.some((item) => item === '*' || item === to || (item === '.' && from === to));
}
