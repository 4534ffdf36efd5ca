package synthetic

// All are the scenarios that Maek has. Each registers itself, next to its code.
var All Catalog
