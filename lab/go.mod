module github.com/maek-dev/maek/lab

go 1.26
