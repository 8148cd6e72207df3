/** The permissions of routes that are no resources: each is a resource of a group of its own, which roles name as any other. */
export const CONTROL_GROUP = 'control.tulle.dev';

/** What each resource of `control.tulle.dev` is, with the verbs that it has. docs/access.md has the table. */
export const CONTROL_RESOURCES = {
  jointokens: { verbs: ['create', 'list', 'delete'], namespaced: true, about: 'join tokens (tulle token)' },
  invitations: { verbs: ['create'], namespaced: true, about: 'invitations of machines (tulle invite)' },
  revocations: { verbs: ['create', 'list'], namespaced: true, about: 'service accounts that were taken back' },
  joins: { verbs: ['list'], namespaced: false, about: 'machines and workloads that joined (tulle revoke --list)' },
  'joins/revoke': { verbs: ['create'], namespaced: false, about: 'ends a join (tulle revoke)' },
  certificateauthorities: { verbs: ['get'], namespaced: false, about: 'the roots of the mesh (tulle ca)' },
  'certificateauthorities/rotate': { verbs: ['create'], namespaced: false, about: 'a new root (tulle ca rotate)' },
  'certificateauthorities/retire': {
    verbs: ['create'],
    namespaced: false,
    about: 'ends an old root (tulle ca retire)',
  },
  backups: { verbs: ['create'], namespaced: false, about: 'the whole mesh with its keys (tulle backup)' },
  proxies: { verbs: ['list'], namespaced: false, about: 'connected proxies (tulle proxy-status)' },
  'proxies/config': { verbs: ['get'], namespaced: false, about: 'config of a proxy (tulle proxy-config)' },
  rollouts: { verbs: ['list'], namespaced: true, about: 'changes that are rolled out in steps (tulle rollout status)' },
  'rollouts/decide': {
    verbs: ['create'],
    namespaced: true,
    about: 'pauses, promotes or undoes a rollout (tulle rollout)',
  },
  scrapetargets: { verbs: ['list'], namespaced: false, about: 'proxies as targets of Prometheus' },
  scrapetokens: { verbs: ['create', 'delete'], namespaced: false, about: 'the token of Prometheus' },
  usertokens: { verbs: ['create', 'list', 'delete'], namespaced: false, about: 'tokens of users (tulle token --user)' },
} as const;

export type ControlResource = keyof typeof CONTROL_RESOURCES;
