// The first page of an external worker: goes on to where the worker stands.

/** @param {{config: {next: string}, navigate: (path: string) => void}} page */
export function start({ config, navigate }) {
  navigate(config.next);
}
