/** exportTo of services, VirtualServices and DestinationRules: `*`, `.` (the resource's namespace), `~` (none) or namespaces. */

/** What is in force: the resource's own, else the mesh's (MeshConfig.default…ExportTo), else every namespace. */
export function exportToOf(own: readonly string[], ofMesh: readonly string[] | undefined): readonly string[] {
  if (own.length > 0) return own;
  return ofMesh && ofMesh.length > 0 ? ofMesh : ['*'];
}

/** What of it is the resource's own namespace. */
export function ownNamespaceOnly(exportTo: readonly string[], namespace: string): readonly string[] {
  return exportedTo(exportTo, namespace, namespace) ? ['.'] : ['~'];
}

/** Whether a resource of namespace `from` is seen in namespace `to`. */
export function exportedTo(exportTo: readonly string[], from: string, to: string): boolean {
  return exportTo.some((item) => item === '*' || item === to || (item === '.' && from === to));
}
