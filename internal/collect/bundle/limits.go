package bundle

// The bounds on what is read from a bundle. They are far above what a cluster at the documented
// limits of Kubernetes (5,000 nodes, 150,000 pods) yields, and low enough that a hostile archive
// ends soon.
const (
	// maxEntries is the number of files and folders in an archive.
	maxEntries = 1_000_000
	// maxArchiveBytes is the size of an archive, unpacked.
	maxArchiveBytes = 8 << 30
	// maxFileBytes is the size of one file of objects.
	maxFileBytes = 2 << 30
	// maxYAMLBytes is the size of one YAML file: YAML is read as a whole and takes a multiple of its
	// size in memory.
	maxYAMLBytes = 64 << 20
	// maxObjectBytes is the size of one object as JSON. etcd takes 1.5 MiB by default, and an object
	// written out with indents is at most a few times that.
	maxObjectBytes = 16 << 20
	// maxObjects is the number of objects in a bundle, equal ones counted each time: five for each pod of
	// such a cluster. The smallest takes some 2 KB in memory, and next to nothing in an archive.
	maxObjects = 750_000
	// maxManifestBytes is the size of MANIFEST.json and of a machine's report.
	maxManifestBytes = 16 << 20
	// maxLogBytes is how much of one log file is read to find its end.
	maxLogBytes = 1 << 30
	// maxGaps is the number of gaps that are told one by one.
	maxGaps = 30
)
