/** What the kinds of access to the control API have in common. */
export const RBAC = {
  group: 'rbac.authorization.k8s.io',
  versions: ['v1'],
  shortNames: [],
  categories: [],
  /** As `system:aggregate-to-view`. */
  names: 'path-segment',
  isForApiOnly: true,
} as const;
